// Package rear makes bare-metal rescue images of a Linux host with Relax-and-Recover
// (https://relax-and-recover.org), and judges what it made.
//
// Its rule: a recovery must not destroy what it was made to save. ReaR's `recover`
// makes anew, empty, every disk, volume and file system that its layout names: a
// thin pool with the guests in it, a second disk with the copies on it. So Prepare
// names whatever holds a target, a Proxmox storage or a guest's data, and writes a
// configuration that leaves it out by name, in the layout and in the archive. What
// shares a volume group with the root cannot be left out: such guests are named in
// the image's menu and asked about before a recovery, the image never starts by
// itself, and Inspect refuses any other image whose active layout names them.
//
// ReaR is run with a configuration directory of its own (`rear -c`); /etc/rear is
// read, never written, and what differs is reported. It never sets a boot entry.
//
// ReaR's exit status says little. It ends with 0 on images without kernel modules
// or without udev, which boot and recover nothing; with 143 on errors of its own;
// with 1 when another one runs. So Judge reads its log, and Inspect reads the
// image: what the firmware starts, the kernel, the initial RAM disk with the
// modules of that kernel and the tools of that layout, and the archive to its end.
//
// A full archive is taken, or a differential one: everything newer than the day of
// the full one, by date. Two archives make a chain, and unpacking both brings files
// back that were deleted in between. Each chain has a folder of its own, so the
// full archive that ReaR finds there is the one that the ledger knows.
//
// Sources of facts: the scripts of ReaR 2.7 below /usr/share/rear (layout/save,
// prep/NETFS, output/ISO, output/USB, build/default/960_remove_encryption_keys.sh)
// and runs of them on Debian 12.
package rear
