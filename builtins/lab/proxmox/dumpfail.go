package proxmox

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// tarCommand is how vzdump names its tar in an error.
func (d *dump) tarCommand() string {
	to := d.shown()[:len(d.shown())-len(d.extension())] + ".dat"
	return fmt.Sprintf("set -o pipefail && lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar cpf - --totals --one-file-system "+
		"-p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*' '--xattrs-include=security.capability' "+
		"'--warning=no-file-ignored' '--warning=no-xattr-write' --one-file-system '--warning=no-file-ignored' "+
		"'--directory=/var/tmp/vzdumptmp%d_%d' ./etc/vzdump/pct.conf ./etc/vzdump/pct.fw '--directory=/mnt/vzsnap0' --no-anchored "+
		"'--exclude=lost+found' --anchored '--exclude=./tmp/?*' '--exclude=./var/tmp/?*' '--exclude=./var/run/?*.pid' ./ >%s",
		d.t.rec.PID, d.g.id, to)
}

// full is the failure of a backup whose storage ran out of space.
func (d *dump) full() error {
	if d.g.kind == "qemu" {
		total := int64(0)
		for _, v := range d.g.conf.disks() {
			n, _ := parseSize(v.props.get("size"))
			total += n
		}
		if err := errors.Join( // the pipe breaks, QEMU does not notice
			d.t.log("zstd: error 70 : Write error : cannot write block : No space left on device "),
			d.infos(fmt.Sprintf("100%% (%s of %s) in 0s, read: %s/s, write: 0 B/s", bytes1(total), bytes1(total), bytes1(total)),
				fmt.Sprintf("backup is sparse: %s (97%%) total zero data", bytes2(total*97/100)),
				fmt.Sprintf("transferred %s in <1 seconds", bytes2(total)))); err != nil {
			return err
		}
		return errors.New("zstd --threads=1 failed - wrong exit status 70")
	}
	if d.syncing {
		return d.fullSync()
	}
	if err := d.infos("Total bytes written: 1044480 (1020KiB, ?/s)",
		"tar: -: Wrote only 4096 of 10240 bytes", "tar: Error is not recoverable: exiting now"); err != nil {
		return err
	}
	return fmt.Errorf("command '%s' failed: exit code 2", d.tarCommand())
}

// fullSync is the failure of the copying of suspend mode, whose folder lies on the
// storage as well.
func (d *dump) fullSync() error {
	to := strings.TrimSuffix(d.shown(), d.extension()) + ".tmp"
	for _, v := range d.g.conf.disks() {
		s, err := d.c.state()
		if err != nil {
			return err
		}
		tree, err := d.c.image(s, d.g.node, "lxc", v.volid)
		if err != nil || v.key != "rootfs" {
			continue
		}
		entries, err := os.ReadDir(tree)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if err := errors.Join(d.t.log("ERROR: rsync: [generator] recv_generator: mkdir \"%s/%s\" failed: No space left on device (28)", to,
				e.Name()),
				d.t.log("ERROR: *** Skipping any contents from this failed directory ***")); err != nil {
				return err
			}
		}
	}
	if err := d.t.log("ERROR: rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) " +
		"[sender=3.5.0]"); err != nil {
		return err
	}
	return fmt.Errorf("command '%s' failed: exit code 23", d.rsyncCommand())
}

// rsyncCommand is how vzdump names its rsync in an error.
func (d *dump) rsyncCommand() string {
	limit := ""
	if bw := d.bwlimit(); bw != "" && bw != "0" {
		limit = "'--bwlimit=" + bw + "' "
	}
	return fmt.Sprintf("rsync --stats -h -X -A --numeric-ids -aH --delete --no-whole-file --sparse --one-file-system --relative "+
		"%s'--exclude=/tmp/?*' '--exclude=/var/tmp/?*' '--exclude=/var/run/?*.pid' /proc/%d/root//./ %s.tmp",
		limit, 900+d.g.id, d.shown()[:len(d.shown())-len(d.extension())])
}

// interrupted is the failure of a backup whose task was stopped.
func (d *dump) interrupted() error {
	if d.g.kind == "qemu" {
		return errors.New("interrupted by signal")
	}
	if d.syncing {
		return fmt.Errorf("command '%s' failed: interrupted by signal", d.rsyncCommand())
	}
	return fmt.Errorf("command '%s' failed: interrupted by signal", d.tarCommand())
}
