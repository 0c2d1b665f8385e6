// Package bench holds runner to its speed: what a verb costs, and what a step
// costs. What whole copies cost beside the usual tools is measured where they
// are made, in builtins/internal/target.
//
//	RUNNER_BENCH=full go test -count=1 -p 1 -timeout 60m -run Bench -v ./tests/bench ./builtins/internal/target
//	RUNNER_BENCH=smoke …    small inputs, a minute in all: that it works, and memory
//
// The figures, with what they mean:
//
//   - a verb: processor time (user and system) of the whole process, median of
//     20; what no verb needs is not opened, dialled or started by it.
//   - a step: processor time of begin and end in runtime.Exec over the SQLite
//     store on a disk, primitives that do nothing, thousands of steps, median of
//     5 rounds. Wall time is the disk's, and so is most of a Write alone: two
//     flushes.
//   - a copy: see package target's bench_test.go.
//
// The gates are those of the table that is printed. Package gauge says how it is
// measured.
package bench
