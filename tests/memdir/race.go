//go:build race

package memdir

// The race detector multiplies memory: more garbage costs more there than collecting it.
const garbage = 100
