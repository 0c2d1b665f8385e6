package site

import "github.com/neosofia/runner/runtime/ledger"

// TargetNotes follow the arguments of target(...): how an account of OpenSSH is made that
// adds files alone. A probe shows whether it is one.
const TargetNotes = `append_only over SFTP: an account of its own on the other machine, which is not root and owns
its folder. In its authorized_keys, one line:

  restrict,command="internal-sftp -P remove,rmdir,rename,posix-rename,hardlink,symlink,setstat,fsetstat,lsetstat,copy-data" ssh-ed25519 AAAA... runner

OpenSSH refuses removing and renaming by that, and not writing to a file that is there. So
root takes the right to write from what is complete, each minute (/etc/cron.d/kept there):

  * * * * * root find /srv/copies -type f -mmin +1 -perm /222 -exec chmod a-w {} +

What is younger can still be changed with runner's key. From the second day on the probe
finds what is a day old unchangeable, and the target is believed; until then the run is
degraded. Nothing of runner's removes old copies there: that machine does, by its own rule,
or nobody. immutable is for stores that keep what they have from everybody. Object lock of S3
(object_lock_mode and object_lock_retain_until_date of the remote that runner cloud import
takes) keeps older versions: overwriting and deleting make newer ones, so that the probe says
no; the store's own tools bring the older ones back.`

// probed is what a probe has to show.
func (a *targetArgs) probed() string {
	switch {
	case a.AppendOnly:
		return ledger.AppendOnly
	case a.Immutable:
		return ledger.Immutable
	}
	return ""
}
