package exportfirewall

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeBroken = failure.Code{Name: "E_RULESET_BROKEN", Doc: "rules name sets, aliases, groups, chains or lists that do not exist"}
)
