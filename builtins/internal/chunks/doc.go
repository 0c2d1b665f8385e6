// Package chunks keeps named files in a deduplicating repository: a folder in which
// each chunk of data is stored once, compressed and encrypted, whatever number of
// files and generations hold it. The repository is kopia's, version 0.23, used as a
// library that only this package knows; kopia's own program lists and restores
// what is in it (ReadmeCommands), and what kopia wrote is read here.
//
// # Names
//
// The files of one folder are one snapshot: "vm/erp/T/disk.raw" is the entry "disk.raw"
// of the snapshot of runner@runner:/vm/erp/T. A Put makes the snapshot anew
// and drops the one before, in one flush. There are no empty folders. Snapshots of
// other users are below "user@host/", and only read.
//
// # Chunks
//
// Names that end in ".raw" are disks: fixed chunks of 128 KiB, so that a changed block
// costs one chunk. Everything else is cut where its content says (128 KiB on average), so
// that what is inserted into a stream moves nothing. Measured on a disk of 1 GiB with 1 % changed in
// scattered blocks: 93 MB and 1.8 s of processor time, where 4 MiB chunks take 313 MB and 4 s,
// restic 293 MB and 5.8 s, borg 314 MB and 3.8 s; desync (75 MB, 3.9 s) does not sync its files.
//
// # What kopia does not do
//
//   - Its file system storage syncs files but not folders. The one here syncs both before
//     a put returns, reads past the page cache, follows no link out of its folder, and has kopia's names.
//   - Maintenance without safety delays beside a writer ends "ok" and loses the writer's snapshot. Here
//     every writer holds a lease (flock), and maintenance also keeps readers out.
//   - A snapshot whose manifest cannot be read is left out of kopia's lists, and its data is then
//     garbage. Here all must be readable before maintenance starts.
//   - Manifests are merged by time stamp: with a clock that was set back a deletion would be lost. The
//     clock that kopia is given does not go below the newest manifest.
//   - A connection that is not read-only may compact manifests while it reads: readers are read-only.
//   - A cache folder whose sizes are not set, or that is older than the repository, ends the process. Nothing
//     is cached: the index is in memory, about 30 bytes for each chunk, and every chunk is read from the medium.
//   - It panics, also in goroutines of its own. What is on our stack becomes an error; the rest
//     ends the process: let a child serve a Repository.
//
// The password stays in memory. Who can write can read: kopia's encryption is symmetric.
package chunks
