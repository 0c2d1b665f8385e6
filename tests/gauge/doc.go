// Package gauge measures programs for the benchmarks that gate on ratios: the
// cost of child processes and of our own work, servers that cost nothing since they
// have a process of their own, bytes like those of a virtual machine, and the table
// in which figures stand beside their gates.
//
// Its rule: processor time decides, since it is the same within a tenth on a
// busy machine where wall time triples. Peers run in turn with ours, round after
// round, and the median counts. A file that is to be read from the medium is
// flushed and dropped from the page cache first, for both and at nobody's cost.
//
// RUNNER_BENCH says what is measured: full (full sizes, every gate), smoke
// (small inputs: that all of it works, and peak memory), or nothing.
// RUNNER_BENCH_MIB and RUNNER_BENCH_ROUNDS replace sizes and rounds of full.
package gauge
