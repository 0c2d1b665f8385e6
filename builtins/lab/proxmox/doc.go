// Package proxmox is the lab's Proxmox VE: the API of a node as clients see
// it, the tasks behind it, and the files below it.
//
// A call goes through login, method, permission, node and parameters in the
// order of PVE's own server, so a wrong request fails at the same place with
// the same text. The work is real: vzdump writes VMA and tar archives of the
// guests' bytes (vzdump*.go), a restore reads them back (restore*.go), tasks
// live on disk and outlive their process (task.go).
//
// HTTP is written by hand (wire.go), since net/http cannot send a reason
// phrase of its own, in which PVE carries its errors, nor cut a connection at
// a chosen moment. Archives are compressed with klauspost/compress, which
// writes the frame checksum that PVE's zstd writes. There is no lzo: such a
// backup fails in its task and says so.
//
// It is held to recorded answers of a Proxmox VE 9.2: those of single calls
// (TestReplay), and those of whole scenarios, field by field
// (TestTheLabAnswersAsTheTruth; what may differ is in truth_differs_test.go).
//
// What differs from a real node, knowingly: two backups of one guest within
// one second take names a second apart, where PVE would refuse the second one;
// a "dir" storage holds its disks as raw, never qcow2; figures of memory and
// CPU are fixed; suspend mode logs its copying but does not copy; a bandwidth
// limit is logged but not kept (the fault "slow" makes a backup slow).
package proxmox
