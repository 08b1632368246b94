"""Every rule that a verdict can name, by topic: ids that scripts depend on."""

from mlbom.verify.rules import chain, files, signatures
from mlbom.verify.rules.rule import Rule

__all__ = ("RULES", "RULE_BY_ID", "Rule")

RULES = (*signatures.RULES, *files.RULES, *chain.RULES)
RULE_BY_ID = {rule.id: rule for rule in RULES}
