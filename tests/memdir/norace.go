//go:build !race

package memdir

const garbage = 400
