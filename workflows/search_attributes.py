"""The one registry of search attributes. They are never encrypted: no name, no word of a document."""

from temporalio.common import SearchAttributeKey

REVIEW_STAGE = SearchAttributeKey.for_keyword("ReviewStage")
TENANT = SearchAttributeKey.for_keyword("Tenant")
"""A pseudonym."""
RISK_BAND = SearchAttributeKey.for_keyword("RiskBand")
AUTONOMY = SearchAttributeKey.for_keyword("Autonomy")
SLA_DUE = SearchAttributeKey.for_datetime("SlaDue")
REVIEWER = SearchAttributeKey.for_keyword("Reviewer")
"""A pseudonym."""

ALL = (REVIEW_STAGE, TENANT, RISK_BAND, AUTONOMY, SLA_DUE, REVIEWER)
