"""Sample mails, of made-up names and amounts: by them an operator's templates are tried, and seen beforehand."""
