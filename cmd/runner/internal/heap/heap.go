// Package heap keeps the garbage collector still while libraries are initialised: what
// they make stays, and it is more than the 4 MiB at which the first collection starts.
// Measured with rclone and kopia linked in: 4 ms of 18 at every start. It imports little,
// so that it is initialised before them.
package heap

import "runtime/debug"

var usual = debug.SetGCPercent(-1)

// Collect lets the collector work. Where nobody set GOGC, the heap may grow to three
// times what is in use: some MiB of a run, and nothing of a short verb.
func Collect() {
	percent := usual
	if percent == 100 {
		percent = 200
	}
	debug.SetGCPercent(percent)
}
