//go:build !race

package targettest

const slow = false
