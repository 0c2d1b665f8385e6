// Package runtime executes policies: it knows Starlark and no backup system.
//
// A policy is loaded, checked and frozen; then main() runs, and every call of a
// primitive becomes a step: its arguments are checked, a "begin" is durable in
// the ledger before an effect starts, an "end" records the outcome, and the
// script sees the result through its recorded encoding, live or replayed. So a
// run that died can be resumed: steps that ended are replayed, steps that had
// begun are settled by asking the system (Resume).
//
// What a primitive is, its Declaration says: arguments, documentation, kind,
// way to resume, codes of errors, planned value, fake. Nothing else knows a
// primitive by name. builtins declares them; cmd/runner hands them to a Runtime.
//
// Data goes one way: policy -> arguments -> begin -> Run -> end -> projections.
package runtime
