package proxmox

import (
	"errors"
	"fmt"
)

// tarCommand is how vzdump names its tar in an error.
func (d *dump) tarCommand() string {
	to := d.shown()[:len(d.shown())-len(d.extension())] + ".dat"
	return fmt.Sprintf("set -o pipefail && lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar cpf - --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*' '--xattrs-include=security.capability' '--warning=no-file-ignored' '--warning=no-xattr-write' --one-file-system '--warning=no-file-ignored' '--directory=/var/tmp/vzdumptmp%d_%d' ./etc/vzdump/pct.conf ./etc/vzdump/pct.fw '--directory=/mnt/vzsnap0' --no-anchored '--exclude=lost+found' --anchored '--exclude=./tmp/?*' '--exclude=./var/tmp/?*' '--exclude=./var/run/?*.pid' ./ >%s",
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
				fmt.Sprintf("transferred %s in <1 seconds", bytes2(total)))); err != nil {
			return err
		}
		return errors.New("zstd --threads=1 failed - wrong exit status 70")
	}
	if err := d.infos("Total bytes written: 1044480 (1020KiB, ?/s)",
		"tar: -: Wrote only 4096 of 10240 bytes", "tar: Error is not recoverable: exiting now"); err != nil {
		return err
	}
	return fmt.Errorf("command '%s' failed: exit code 2", d.tarCommand())
}

// interrupted is the failure of a backup whose task was stopped.
func (d *dump) interrupted() error {
	if d.g.kind == "qemu" {
		return errors.New("interrupted by signal")
	}
	if d.syncing {
		limit := ""
		if bw := d.bwlimit(); bw != "" && bw != "0" {
			limit = "'--bwlimit=" + bw + "' "
		}
		return fmt.Errorf("command 'rsync --stats -h -X -A --numeric-ids -aH --delete --no-whole-file --sparse --one-file-system --relative %s'--exclude=/tmp/?*' '--exclude=/var/tmp/?*' '--exclude=/var/run/?*.pid' /proc/%d/root//./ %s.tmp' failed: interrupted by signal",
			limit, 900+d.g.id, d.shown()[:len(d.shown())-len(d.extension())])
	}
	return fmt.Errorf("command '%s' failed: interrupted by signal", d.tarCommand())
}
