"""What the operator does and looks at: merchants, approvals, the audit log, verifications, the console's lists."""
