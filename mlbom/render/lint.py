"""What the CycloneDX schema cannot say: references, purls, licences, digest lengths, pointers."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mlbom.evidence.digest import HEX_DIGITS
from mlbom.render.cyclonedx_parts import HASH_NAMES

_DIGEST_DIGITS = {name: HEX_DIGITS[key] for key, name in HASH_NAMES.items()}


def lint_bom(bom: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each defect of a schema-valid BOM (CycloneDX 1.5 to 1.7).

    Checked: bom-refs unique; every reference resolves, those of formulation and declarations too;
    no dependency twice; purls and licence expressions parse; digests have their algorithm's length;
    modelCard stands on models and `data` on data components only; citation pointers resolve.
    """
    components = list(_components(bom))
    refs = Counter(c["bom-ref"] for _, c in components if "bom-ref" in c)
    refs.update(s["bom-ref"] for s in bom.get("services", ()) if "bom-ref" in s)
    refs.update(_formulation_refs(bom))
    refs.update(_declared_refs(bom))
    yield from (f"bom-ref {ref!r} stands {n} times" for ref, n in refs.items() if n > 1)
    for place, component in components:
        yield from (f"{place}: {problem}" for problem in _component_problems(component, refs))
    yield from _dependency_problems(bom, refs)
    for composition in bom.get("compositions", ()):
        for ref in (*composition.get("assemblies", ()), *composition.get("dependencies", ())):
            if ref not in refs:
                yield f"compositions: {ref!r} names no component"
    yield from _formulation_problems(bom, refs)
    yield from _declaration_problems(bom, refs)
    yield from _citation_problems(bom, refs)


def _components(bom: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    metadata = bom.get("metadata", {})
    pending: list[tuple[str, dict[str, Any]]] = []
    if "component" in metadata:
        pending.append(("/metadata/component", metadata["component"]))
    tools = metadata.get("tools")
    if isinstance(tools, dict):
        pending.extend(_numbered("/metadata/tools/components", tools.get("components", [])))
    pending.extend(_numbered("/components", bom.get("components", [])))
    for place, formula in _numbered("/formulation", bom.get("formulation", [])):
        pending.extend(_numbered(f"{place}/components", formula.get("components", [])))
    while pending:
        place, component = pending.pop()
        yield place, component
        pending.extend(_numbered(f"{place}/components", component.get("components", [])))
        ancestors = component.get("pedigree", {}).get("ancestors", [])
        pending.extend(_numbered(f"{place}/pedigree/ancestors", ancestors))


def _numbered(place: str, items: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"{place}/{number}", item) for number, item in enumerate(items))


def _component_problems(component: dict[str, Any], refs: Counter[str]) -> Iterator[str]:
    kind = component["type"]
    if "modelCard" in component and kind != "machine-learning-model":
        yield f"a modelCard on a component of type {kind}"
    if "data" in component and kind != "data":
        yield f"data on a component of type {kind}"
    if "purl" in component:
        yield from _purl_problems(component["purl"])
    for digest in component.get("hashes", ()):
        digits = _DIGEST_DIGITS.get(digest["alg"])
        if digits and len(digest["content"]) != digits:
            yield f"{digest['alg']} with {len(digest['content'])} digits instead of {digits}"
    for choice in component.get("licenses", ()):
        if "expression" in choice:
            yield from _expression_problems(choice["expression"])
    parameters = component.get("modelCard", {}).get("modelParameters", {})
    for dataset in parameters.get("datasets", ()):
        if "ref" in dataset and dataset["ref"] not in refs:
            yield f"modelParameters.datasets: {dataset['ref']!r} names no component"


def _purl_problems(purl: str) -> Iterator[str]:
    from packageurl import PackageURL

    try:
        parsed = PackageURL.from_string(purl)
    except ValueError as error:
        yield f"{purl!r} is no package URL: {error}"
        return
    if " " in purl:
        yield f"{purl!r} holds a space"
    if parsed.type == "huggingface" and not parsed.namespace:
        yield f"{purl!r} has no namespace, which the type huggingface demands"


def _expression_problems(expression: str) -> Iterator[str]:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        canonicalize_license_expression(expression)
    except InvalidLicenseExpression as error:
        yield f"{expression!r} is no SPDX licence expression: {error}"


def _dependency_problems(bom: dict[str, Any], refs: Counter[str]) -> Iterator[str]:
    seen: set[str] = set()
    for dependency in bom.get("dependencies", ()):
        ref = dependency["ref"]
        if ref not in refs:
            yield f"dependencies: {ref!r} names no component"
        if ref in seen:
            yield f"dependencies: {ref!r} stands twice"
        seen.add(ref)
        for needed in dependency.get("dependsOn", ()):
            if needed not in refs:
                yield f"dependencies of {ref!r}: {needed!r} names no component"
            if needed == ref:
                yield f"dependencies: {ref!r} depends on itself"


def _formulation_refs(bom: dict[str, Any]) -> Iterator[str]:
    for formula in bom.get("formulation", ()):
        yield from (formula[key] for key in ("bom-ref",) if key in formula)
        for workflow in formula.get("workflows", ()):
            yield workflow["bom-ref"]
            yield from (task["bom-ref"] for task in workflow.get("tasks", ()))


def _formulation_problems(bom: dict[str, Any], refs: Counter[str]) -> Iterator[str]:
    for formula in bom.get("formulation", ()):
        for workflow in formula.get("workflows", ()):
            yield from _dependency_problems(
                {"dependencies": workflow.get("taskDependencies", ())}, refs
            )
            for task in (workflow, *workflow.get("tasks", ())):
                for ref in _resources(task):
                    if ref not in refs:
                        yield f"formulation: {task['bom-ref']!r} names {ref!r}, no component"


def _resources(task: dict[str, Any]) -> Iterator[str]:
    """Yield the bom-refs that a workflow or task reads, writes or uses."""
    choices = list(task.get("resourceReferences", ()))
    for item in (*task.get("inputs", ()), *task.get("outputs", ())):
        choices += [item[key] for key in ("resource", "source", "target") if key in item]
    return (choice["ref"] for choice in choices if "ref" in choice)


def _declared_refs(bom: dict[str, Any]) -> Iterator[str]:
    declared = bom.get("declarations", {})
    for kind in ("assessors", "claims", "evidence"):
        yield from (item["bom-ref"] for item in declared.get(kind, ()) if "bom-ref" in item)


def _declaration_problems(bom: dict[str, Any], refs: Counter[str]) -> Iterator[str]:
    declared = bom.get("declarations", {})
    named: list[str] = []
    for attestation in declared.get("attestations", ()):
        named += [attestation[key] for key in ("assessor",) if key in attestation]
        for entry in attestation.get("map", ()):
            named += (*entry.get("claims", ()), *entry.get("counterClaims", ()))
    for claim in declared.get("claims", ()):
        named += [claim[key] for key in ("target",) if key in claim]
        named += (*claim.get("evidence", ()), *claim.get("counterEvidence", ()))
    for ref in named:
        if ref not in refs:
            yield f"declarations: {ref!r} is nothing in this BOM"


def _citation_problems(bom: dict[str, Any], refs: Counter[str]) -> Iterator[str]:
    for citation in bom.get("citations", ()):
        if citation.get("attributedTo", "") not in refs:
            yield f"citations: {citation.get('attributedTo')!r} names no component"
        for pointer in citation.get("pointers", ()):
            if not _resolves(bom, pointer):
                yield f"citations: nothing at {pointer}"


def _resolves(document: Any, pointer: str) -> bool:  # noqa: ANN401 - any JSON value
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        try:
            document = document[int(key)] if isinstance(document, list) else document[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return False
    return True
