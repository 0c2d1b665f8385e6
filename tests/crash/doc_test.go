// Package crash kills runner at many points of the nightly policy and looks at
// what the end is: the same artifacts, copies and proofs as an undisturbed night.
//
// The lab is served by the test process and outlives runner, as a real site
// does: a vzdump that was started goes on. Between runner and the lab stands a
// proxy that counts bytes, so that a kill comes at a chosen byte of what is said
// to a system: before a request arrives, between the request and its answer, in
// the middle of a file. Other kills come at a chosen event of the run, as --json
// tells it. After each death `runner resume` is typed, and may be killed too.
package crash
