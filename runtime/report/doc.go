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
// Media of a set travel in turn. A set keeps its promise for an item while the newest
// copy of it on any of its media, proven as demanded, is at most Every old; after that it
// is due, which degrades, and when the grace is over, too, it fails: one finding for all
// items. An item that is newer than the time when the last medium left is due with the
// next one. A set counts as offline by the media that are away and not due themselves:
// what is attached, or away for too long, is not counted. A medium that is away for as
// many turns as the set has media, and the grace, was lost: that degrades, whatever the
// others hold.
//
// It imports the ledger and the standard library only. Every text that comes
// from a system or a policy is stripped of control characters before it reaches
// a terminal. One format per file: *_text.go for operators, json.go for programs.
package report
