package snapshotvm

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeFailed  = failure.Code{Name: "E_VZDUMP_FAILED", Doc: "vzdump failed for this guest; its words follow"}
	CodeNothing = failure.Code{Name: "E_VZDUMP_NOTHING", Doc: "vzdump was answered without a task: the guest is not on that node any more"}
)
