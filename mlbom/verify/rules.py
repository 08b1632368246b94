"""Every rule that a verdict can name, by topic: ids that scripts depend on."""

from mlbom.verify import rules_chain, rules_files, rules_signatures
from mlbom.verify.rule import Rule

__all__ = ("RULES", "RULE_BY_ID", "Rule")

RULES = (*rules_signatures.RULES, *rules_files.RULES, *rules_chain.RULES)
RULE_BY_ID = {rule.id: rule for rule in RULES}
