//go:build race

package targettest

// slow: the race detector makes 50 ms a matter of luck on a busy machine.
const slow = true
