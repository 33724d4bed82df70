"""ToMe the textbook way, in float64 and one sequence at a time: infinities, argsort, and adding where tokens go."""

import numpy as np


def decide(metric: np.ndarray, count: int, protected: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of merged tokens (r,), the most similar first, of what each goes to (r,), and of the even ones that stay.

    metric (N, d). r is `count`, or half the tokens that are not protected. Of equal similarities the first is taken.
    """
    unit = metric / np.linalg.norm(metric, axis=1, keepdims=True)
    scores = unit[0::2] @ unit[1::2].T
    scores[:int(protected > 0)] = -np.inf       # class token
    scores[:, :int(protected > 1)] = -np.inf    # distillation token
    count = min(count, (len(metric) - protected) // 2)
    order = np.argsort(-scores.max(1), kind="stable")
    merged, kept = order[:count], np.sort(order[count:])
    return 2 * merged, 2 * scores.argmax(1)[merged] + 1, 2 * kept


def margin(metric: np.ndarray, count: int, protected: int) -> float:
    """By how much a cosine must change to change a decision."""
    unit = metric / np.linalg.norm(metric, axis=1, keepdims=True)
    scores = unit[2 if protected else 0::2] @ unit[3 if protected > 1 else 1::2].T
    best = np.sort(scores, axis=1)[:, ::-1]
    order = np.sort(best[:, 0])[::-1]
    choices = (best[:, 0] - best[:, 1]) if best.shape[1] > 1 else np.full(1, np.inf)
    steps = -np.diff(order[:count + 1])
    return float(min(choices.min(), steps.min(initial=np.inf)))


def membership(metric: np.ndarray, count: int, protected: int) -> np.ndarray:
    """Which tokens go into which, 0 or 1 (N - r, N): protected, even ones that stay, odd ones with what they got."""
    merged, into, kept = decide(metric, count, protected)
    rows = np.eye(len(metric))
    np.add.at(rows, into, rows[merged])
    kept, odd = rows[kept], rows[1::2]
    ends = int(protected > 0), int(protected > 1)
    return np.concatenate([kept[:ends[0]], odd[:ends[1]], kept[ends[0]:], odd[ends[1]:]])


def merge(x: np.ndarray, size: np.ndarray, metric: np.ndarray, count: int, protected: int):
    """x (N, C), size (N, 1), metric (N, d) -> (N - r, C), (N - r, 1)"""
    rows = membership(metric, count, protected)
    return rows @ (x * size) / (rows @ size), rows @ size
