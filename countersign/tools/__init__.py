"""What agents may do beside reading and answering: tools, the policy over them, the guard before them, approvals."""
