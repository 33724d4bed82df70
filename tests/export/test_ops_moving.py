"""Functions, Tensor methods, indexing and layers that move elements: each as a user writes it, against MindSpore."""

import numpy as np
import pytest
from expression_case import check_expression, export_expression, expression, expressions, layer
from primitive_cells import normal

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx

v3, v4 = normal(3), normal(4)
x34, y34 = normal(3, 4), normal(3, 4)
x345, x2345, image = normal(3, 4, 5), normal(2, 3, 4, 5), normal(2, 4, 6, 8)
mask = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
i2, i3 = np.array([2, 0], np.int32), np.array([1, 0, 2], np.int32)
i22 = np.array([[2, -1], [0, 1]], np.int32)
i32 = np.array([[0, 2], [1, 3], [0, 1]], np.int32)
labels = np.array([[0, 2], [4, 1]], np.int32)
whole = np.arange(-6, 6, dtype=np.int32).reshape(3, 4)
steps = np.sort(normal(2, 5), axis=1)

INDEXING = [
    *expressions(
        (x345,), "(x[0], x[-1, 2], x[..., 1], x[1:3][0], x[x.shape[0] - 1])",
        "(x[:, 1:3], x[:, ::2, 1:-1], x[5:], x[0:0])", "(x[::-1], x[:, 3:1:-1], x[:, -2:])",
        "(x[:, None], x[None, ..., None], x[0, ..., None], x[..., 0, :])",
        "(x[()], x[...], x[True])", "[x[i] for i in range(3)]", "x[[0, 2]], x[[0, 2], [1, 3]]", "x[[0, 2], :, [1, 3]]",
        "x[:, [0, 2]], x[:, [0, 2], 1:3], x[:, 1:2, [0, 2]]", "x[Tensor([0, 2])], x[:, Tensor([0, 2])]",
        "x[Tensor([True, False, True])]",
    ),
    *expressions((x345, i2), "x[y], x[:, y], x[..., y]", "x[y, 1], x[1, y]", "x[0, :, y]", "x[y, 1:3, None]"),
    *expressions((x345, i22), "x[y], x[:, y]"),
    *expressions((x345, i2, i2), "x[y, z], x[y, :, z]", "x[:, y, z]", "x[y][:, z]"),
    *expressions((x345, np.array(1, np.int32)), "x[y]"),
    *expressions((x345, i3), "x[ops.arange(3), y]"),
]

ASSIGNMENT = [
    *[
        expression(f"{statement}; x", x34, value)
        for statement, value in (
            ("x[0] = y", v4), ("x[-1] = y", v4), ("x[:, 1] = y", v3), ("x[:, 1:3] = y", normal(3, 2)),
            ("x[...] = y", v4), ("x[1:3, 1:3] = y", normal(2, 2)), ("x[::2, 1] = y", normal(2)),
            ("x[[0, 2]] = y", normal(2, 4)), ("x[[0, 2], [1, 3]] = y", normal(2)), ("x[y] = 0.0", mask),
            ("x[y] = 1.0", i2), ("x[:, y] = 1.0", i2), ("x[1] += y", v4), ("x[:, [2, 0]] = y", normal(3, 2)),
        )
    ],
    *expressions(
        (x34,), "x[0] = 1.0; x", "x[:, 1:3] = 0; x", "x[..., 0] = x[..., 1]; x", "x[0, 1] = 5; x", "x[x > 0] = 0.0; x",
        "x[::2] = 1.0; x", "x[:] = 1.0; x", "x[1:, 1] = 1.0; x", "x[:, 0] += 1; x",
    ),
    expression("x[y] = z; x", x34, i2, normal(2, 4)),
    expression("x[:, [3, 0], ::2] = y; x", x345, normal(3, 2, 3)),
    expression("x[:, 1:2] = y; x", mask, mask[:, :1]),
    expression("a = ops.zeros((3, 4), ms.float32); a[:, 1:3] = x; a[0] = 2.0; a", normal(3, 2)),
]

SHAPES = [
    *expressions(
        (x345,), "x.reshape(4, 15), x.view(-1, 5), ops.reshape(x, (-1,))", "ops.flatten(x), x.flatten(start_dim=1)",
        "x.ravel(), ops.flatten(x, order='F')", "x.unsqueeze(1), ops.expand_dims(x, -1)",
        "ops.transpose(x, (1, 0, 2)), x.transpose(2, 0, 1), x.mT, x.T", "ops.permute(x, (2, 0, 1)), x.permute(2, 0, 1)",
        "ops.swapaxes(x, 0, 1), x.swapdims(0, 2)", "ops.movedim(x, 0, 2), x.moveaxis(0, 2), ops.adjoint(x)",
        "ops.tile(x, (2, 1, 3)), x.tile((2, 1))", "ops.broadcast_to(x, (2, -1, -1, -1))",
        "ops.repeat_interleave(x, 2, 1), x.repeat_interleave(2)", "ops.repeat_elements(x, 2, 1)",
        "x.shape, x.ndim, x.size, ops.numel(x), ops.rank(x)",
    ),
    *expressions(
        (x34,), "x.t(), ops.t(x), x.H", "ops.atleast_3d(x), x.resize((2, 6))", "ops.kron(x, x), ops.diff(x)",
        "ops.deepcopy(x), ops.stop_gradient(x), x.copy(), x.contiguous()", "x + ops.TensorShape()(x)[0]",
        "x[:, 0:0].reshape(4, 0), ops.cat((x[:, 0:0].reshape(-1), x[0]))",
    ),
    *expressions((normal(2, 1, 3, 1),), "ops.squeeze(x), x.squeeze(1), x.squeeze((1, 3))"),
    *expressions((x34, normal(2, 6)), "x.view_as(y)", "x.reshape_as(y)"),
    *expressions((normal(3, 1), x34), "x.expand_as(y)"),
    *expressions((v3, v4), "ops.meshgrid(x, y)", "ops.meshgrid(x, y, indexing='ij')", "ops.cartesian_prod(x, y)"),
    layer("nn.Flatten()", x345), layer("nn.Unflatten(1, (2, 2))", x345), layer("nn.Identity()", x345),
]

JOINS = [
    *expressions(
        (x34, y34), "ops.cat((x, y), 1), ops.concat((x, y))", "ops.stack((x, y), 1), ops.hstack((x, y))",
        "ops.vstack((x, y)), ops.dstack((x, y)), ops.column_stack((x, y))", "ops.block_diag(x, y)",
    ),
    *expressions(
        (x34,), "ops.unstack(x, 1), x.unbind(0)", "ops.split(x, 3, 1), x.split(2), ops.split(x, (1, 3), 1)",
        "ops.chunk(x, 3, 1), x.chunk(2, 0)", "ops.tensor_split(x, 3, 1), ops.tensor_split(x, (1, 3), 1)",
        "ops.hsplit(x, 2), ops.vsplit(x, 3)",
    ),
    *expressions((x345,), "ops.dsplit(x, 5)"),
]

ORDERS = [
    *expressions(
        (x34,), "ops.flip(x, (0, 1)), ops.fliplr(x), x.flipud()", "ops.rot90(x, 1, (0, 1)), x.rot90(3, [0, 1])",
        "ops.narrow(x, 1, 1, 2)", "ops.strided_slice(x, (0, 1), (3, 4), (2, 1)), ops.slice(x, (0, 1), (2, 3))",
        "ops.diagonal(x), x.diagonal(1)", "ops.tril(x), x.triu(1)", "ops.trace(x), x.trace()",
        "ops.matrix_band_part(x, 1, 0)", "ops.topk(x, 2), x.topk(3)", "ops.topk(x, 2, dim=0, largest=False)",
        "ops.sort(x), x.sort(descending=True)", "ops.sort(x, 0, True)", "ops.argsort(x), x.argsort(0, True)",
        "ops.msort(x), ops.diag_embed(x), ops.matrix_diag(x), ops.diagflat(x)",
    ),
    expression("ops.roll(x, (1, -2), (0, 1))", x34, reference=lambda x: np.roll(x, (1, -2), (0, 1))),
    layer("nn.Roll(2, 1)", x34, reference=lambda x: np.roll(x, 2, 1)),
    *[layer(source, x34) for source in ("nn.Tril()", "nn.Triu()")],
    expression("ops.diag(x)", v4),
    expression("ops.matrix_set_diag(x, y)", x345, normal(3, 4)),
    expression("ops.diagonal_scatter(x, y)", x34, v3),
    expression("ops.cross(x, y, 1)", normal(4, 3), normal(4, 3)),
    expression("x.cross(y)", normal(3, 2), normal(3, 2)),
    expression("ops.reverse_sequence(x, y, 1, 0)", x345, i3 + np.int32(1)),
    *expressions((steps, normal(2, 3)), "ops.searchsorted(x, y)", "ops.searchsorted(x, y, right=True)"),
    expression(
        "ops.bucketize(x, [-0.5, 0.5], right=True)", x34,
        reference=lambda x: np.digitize(x, [-0.5, 0.5]).astype(np.int32),
    ),
]

GATHERS = [
    *expressions((x34, i32), "ops.gather_elements(x, 1, y), ops.gather_d(x, 1, y)", "ops.gather(x, y, 1, 1)"),
    *expressions((x34, i32), "x.take(y, 1)"),
    *expressions((x34, i2), "x.gather(y, 1)", "ops.index_select(x, 1, y), x.index_select(0, y)", "x.take(y)"),
    expression("ops.gather(x, y, 2, 1)", x345, i32),
    expression("x.gather_nd(y)", x34, i2.reshape(2, 1)),
    expression("ops.gather_nd(x, Tensor([[0, 1], [2, 3]]))", x34),
    expression("x.choose([y, z])", np.array([1, 0, 1], np.int32), v3, normal(3)),
    expression("ops.masked_select(x, Tensor([True, False, True, True]))", x34),
    *expressions((x34, mask), "ops.where(y, x, 1.0)", "x.masked_fill(y, 2.0)", "ops.select(y, x, 0.0)"),
    expression("ops.where(y, x, z)", x34, mask, v4),
    expression("x.masked_fill(y, z)", x34, mask, normal()),
    *[
        layer(f"nn.{name}", labels)
        for name in ("Embedding(5, 4)", "Embedding(5, 4, True)", "EmbeddingLookup(5, 4)", "OneHot(1, 5)")
    ],
    *expressions((labels,), "ops.one_hot(x, 5)", "ops.one_hot(x, 5, Tensor(2.0), Tensor(-1.0), axis=0)"),
]

SCATTERS = [
    *expressions(
        (x34, i32[:2], normal(2)), "ops.tensor_scatter_add(x, y, z), ops.tensor_scatter_sub(x, y, z)",
        "ops.tensor_scatter_max(x, y, z), ops.tensor_scatter_min(x, y, z)",
        "ops.tensor_scatter_mul(x, y, z), ops.tensor_scatter_div(x, y, z)",
    ),
    *expressions(
        (x34, i32, normal(3, 2)), "ops.tensor_scatter_elements(x, y, z, 1)",
        "ops.tensor_scatter_elements(x, y, z, 1, 'add')",
    ),
    *expressions((x34, i32.astype(np.int64), normal(3, 2)), "ops.scatter(x, 1, y, z)", "x.scatter(1, y, z)"),
    expression("ops.scatter_nd(x, y, (4, 3))", i2.reshape(2, 1), normal(2, 3)),
    expression("x.index_add(1, y, z)", x34, i2, normal(3, 2)),
    expression("ops.index_fill(x, 1, y, 2.0)", x34, i2),
    expression("ops.select_scatter(x, y, 1, 2)", x34, v3),
    expression("ops.slice_scatter(x, y, 1, 1, 3)", x34, normal(3, 2)),
    expression("x.masked_scatter(y, z)", x34, mask, normal(12)),
    *expressions(
        (x34, normal(2, 4)), "ops.inplace_update(x, y, (0, 2))", "ops.inplace_add(x, y, (0, 2))",
        "ops.inplace_sub(x, y, (0, 2))",
    ),
    *expressions(
        (x34, i3), "ops.unsorted_segment_sum(x, y, 3), ops.unsorted_segment_prod(x, y, 3)",
        "ops.unsorted_segment_max(x, y, 3), ops.unsorted_segment_min(x, y, 3)",
    ),
]

CONSTANTS = [
    *expressions(
        (x34,), "x + ops.eye(3, 4), x + ops.linspace(0, 1, 4)",
        "x + ops.arange(4), x + ops.arange(0, 1, 0.25), x + ops.range(0, 4, 1)",
        "x + ops.full((3, 4), 2.5), x + ops.full_like(x, 2.5)",
        "x + ops.fill(ms.float32, (3, 4), 2.5)", "x + ops.zeros((3, 4)), x + ops.zeros_like(x)",
        "x + ops.ones((3, 4), ms.float32), x + ops.ones_like(x)", "x + x.new_zeros((3, 4)), x + x.new_ones((3, 4))",
        "x + ops.zeros_like(x, dtype=ms.int32), x + mint.ones((3, 4)), x + nn.Range(0, 4)()",
    ),
    *expressions((normal(),), "ops.full((3, 4), x)", "ops.fill(ms.float32, (3, 4), x)"),
    *expressions((i3,), "ops.sequence_mask(x, 5)", "x + ops.tuple_to_array((1, 2, 3))", "ops.scalar_to_tensor(2) + x"),
    expression("x + ops.triu_indices(3, 4, 1)", np.zeros((2, 6), np.int64)),
]

CASTS = [
    *expressions(
        (x34 * 5,), "x.astype(ms.float16), x.astype('int64'), x.to(ms.int32)", "x.half(), x.int(), x.long()",
        "ops.cast(x, ms.float64), ops.cast(x, ms.bool_), ops.cast(x, ms.int8)",
    ),
    *expressions((whole,), "x.float(), x.bool(), ops.cast(x, ms.int64), ops.cast(x, ms.float16)"),
    *expressions((mask,), "x.float(), x.int()"),
    expression("x.type_as(y)", x34 * 5, whole),
]

IMAGES = [
    *expressions(
        (image,), "ops.unfold(x, 2)", "ops.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 2), stride=(2, 1))",
        "ops.pixel_shuffle(x, 2)", "ops.pixel_unshuffle(x, 2)", "ops.space_to_batch_nd(x, [2, 2], [[0, 0], [1, 1]])",
        "ops.pad(x, (1, 2))", "ops.pad(x, (1, 2, 2, 1), 'reflect')", "ops.pad(x, (1, 2, 1, 0), 'replicate')",
        "ops.pad(x, (1, 2, 2, 1), 'circular')",
    ),
    # MindSpore's own kernel cuts wrongly the second time that it meets negative paddings in a process.
    expression(
        "ops.pad(x, (1, 2, 0, -1), 'constant', 2.0)", image,
        reference=lambda x: np.pad(x[:, :, :-1], ((0, 0), (0, 0), (0, 0), (1, 2)), constant_values=2),
    ),
    expression("ops.fold(x, Tensor([4, 5], ms.int32), (2, 2), 1, 0, 1)", normal(2, 12, 12)),
    expression("ops.batch_to_space_nd(x, [2, 2], [[0, 0], [1, 0]])", normal(8, 3, 4, 4)),
    *[
        layer(f"nn.{source}", image)
        for source in (
            "PixelShuffle(2)", "PixelUnshuffle(2)", "ChannelShuffle(2)", "ConstantPad2d((1, 2, 0, 1), 0.5)",
            "ZeroPad2d((1, 2, 0, 1))", "ReflectionPad2d((1, 2, 0, 1))", "ReplicationPad2d((1, 2, 0, 1))",
        )
    ],
    *[layer(f"nn.Pad(((1, 1), (2, 0)), mode='{mode}')", x34) for mode in ("CONSTANT", "REFLECT", "SYMMETRIC")],
    *[layer(f"nn.{name}Pad1d((1, 2))", x345) for name in ("Reflection", "Replication")],
    *[layer(f"nn.{name}Pad3d(1)", x2345) for name in ("Reflection", "Replication")],
    layer("nn.ConstantPad1d((1, 2), 0.5)", x345),
    layer("nn.ConstantPad3d(1, 0.5)", x2345),
]

SIDE_EFFECTS = [
    *expressions((x34,), "assert x.shape[0] == 3; x + 1", "print(x); x + 1", "ops.Print()('x', x); x + 1"),
    *expressions((x34, y34), "ops.Depend()(x, y)"),
]

ROWS = [
    *INDEXING, *ASSIGNMENT, *SHAPES, *JOINS, *ORDERS, *GATHERS, *SCATTERS, *CONSTANTS, *CASTS, *IMAGES, *SIDE_EFFECTS,
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_function(row, tmp_path):
    check_expression(row, tmp_path)


OPEN_SHAPES = [
    *expressions((x34, mask), "x[y]", "ops.masked_select(x, y)"),
    *expressions((x34,), "x[x > 0]", "ops.nonzero(x)", "ops.unique(x)"),
]


@pytest.mark.parametrize("row", OPEN_SHAPES, ids=str)
def test_a_shape_that_the_data_decide_is_refused(row, tmp_path):
    _, mindir = export_expression(row, tmp_path)
    with pytest.raises(ConversionError, match="(MaskedSelect|NonZero|Unique): '.*' is computed at run time"):
        mindir_to_onnx(mindir)
