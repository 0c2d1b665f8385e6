// Package report judges what the ledger holds by what the site demands, and says
// it in words for an operator and in JSON for programs.
//
//   - Complete judges one run: every item that it should protect has its copies,
//     each proven as demanded and young enough, or there is a finding. The
//     runtime calls it before a run may end ok.
//   - Status is the state of every asset now: the row of the SOP, the sum of
//     3-2-1-1-0, time to restore, and what is missing with what to type.
//   - Run is the record of one run: steps, artifacts, copies, proofs, gaps, and
//     why it is not ok. Runs lists them.
//
// Rules. A copy counts only with a proof that holds. Copies count apart only if
// they share no device (as looked up when they were written, never as declared),
// media are the site's words, and a medium counts as offline only while its last
// seen event is "detached" after a copy on it was read back. A copy dated in the
// future proves nothing: a clock was wrong. Unknown is never counted as good.
//
// It imports the ledger and the standard library only. Every text that comes
// from a system or a policy is stripped of control characters before it reaches
// a terminal. One format per file: *_text.go for operators, json.go for programs.
package report
