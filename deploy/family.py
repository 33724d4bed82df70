"""The family of a run, as `msnoah export --family` wrote it: its members, whole and of one export."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.artifact_file import combined_hash, open_artifact
from msnoah.errors import ProfileError, RunFolderError, describe_failure
from msnoah.file_hash import hash_file
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]


class MemberRecord(BaseModel):
    """What family.json says of one member; `tokens` are those left after each block, `macs` of one image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens_merged: int | list[int]
    file: str
    sha256: str
    tokens: list[int]
    macs: int
    verification: Record


@dataclass(frozen=True)
class Member:
    """One ONNX file of a family and its facts."""

    facts: MemberRecord
    artifact: Artifact

    @property
    def name(self) -> str:
        """Its degree, as its file is called: r8."""
        return Path(self.facts.file).stem


def open_family(run: RunFolder) -> list[Member]:
    """The members of a run's family, those that merge least first.

    Raises:
        RunFolderError: no family yet, or family.json is damaged.
        ProfileError: a file is missing, or is not the one that family.json speaks of.
    """
    if not run.family_record_path.is_file():
        raise RunFolderError(f"{run.path}: has no family; `msnoah export {run.path} --family 0,4,8,12,16` writes one")
    record = read_json(run.family_record_path)
    try:
        facts = [MemberRecord.model_validate(row) for row in record["members"]]
        weights = run.family_path / record["weights"]["file"], record["weights"]["sha256"]
        members = [_open_member(run, one, weights) for one in facts]
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        what = f"{type(error).__name__}: {describe_failure(error)}"
        raise RunFolderError(f"{run.family_record_path}: damaged ({what}); export the family anew") from error
    if not members:
        raise RunFolderError(f"{run.family_record_path}: has no members; export the family anew")
    return sorted(members, key=lambda member: -sum(member.facts.tokens))


def _open_member(run: RunFolder, facts: MemberRecord, weights: tuple[Path, str]) -> Member:
    path = run.family_path / facts.file
    artifact = open_artifact(path)
    # The first of these if it has no weights in the other file.
    if artifact.sha256 not in (facts.sha256, combined_hash(facts.sha256, weights[1])):
        other = next(name for name, sha256 in ((path, facts.sha256), weights) if hash_file(name) != sha256)
        raise ProfileError(f"{other}: stale: it is not the file that family.json speaks of; "
                           f"`msnoah export {run.path} --family ...` writes the family anew")
    checks = facts.verification["checks"]
    verified = {"verified": facts.verification["passed"] is True, "max_rel": max(check["max_rel"] for check in checks)}
    return Member(facts, replace(artifact, **verified))
