package newsite

import (
	"fmt"
	"strings"
)

// Found says in a few lines what there is.
func (m *Machine) Found() (out []string) {
	say := func(what, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-8s ", what)+fmt.Sprintf(format, args...))
	}
	if n := m.Proxmox; n != nil {
		var storages []string
		for _, s := range n.Storages {
			storages = append(storages, s.Name)
		}
		say("found", "node %s of Proxmox VE with %d guests; storages that take backups: %s", n.Name, len(n.Guests), orNone(storages))
	} else {
		say("found", "%s: not a Proxmox VE node", m.Name)
	}
	var parts []string
	for _, p := range []struct {
		is   bool
		name string
	}{{m.Rear, "ReaR"}, {m.Firewall, "nftables"}, {m.Journal, "the journal"}} {
		if p.is {
			parts = append(parts, p.name)
		}
	}
	say("found", "on %s: %s", m.Name, orNone(parts))
	for _, d := range m.Disks {
		say("disk", "%s  %s", d.Path, about(d.Device))
	}
	for _, d := range m.Unmounted {
		verb := "mount"
		if d.Device.FS == "crypto_LUKS" {
			verb = "open and mount"
		}
		say("unused", "%s  %s: %s it, and copies can go there", d.Path, about(d.Device), verb)
	}
	for _, s := range m.Save {
		say("saves", "%s", s.Path)
	}
	for _, t := range m.To {
		say("to", "%s  %s", t.Path, about(t.Device))
	}
	for _, n := range m.Notes {
		say("note", "%s", n)
	}
	return out
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// Token is the calls that make the account with the least rights.
func Token(storage string) string { return strings.ReplaceAll(token, "STORAGE", storage) }

const token = `pveum user add runner@pve
pveum user token add runner@pve runner --privsep 1
pveum role add RunnerAudit --privs "Sys.Audit SDN.Audit VM.Audit"
pveum role add RunnerBackup --privs "VM.Audit VM.Backup Datastore.Audit Datastore.AllocateSpace"
pveum role add RunnerRestore --privs "VM.Allocate VM.Audit VM.PowerMgmt VM.Config.Network VM.Config.Options VM.Config.Disk VM.Config.CPU VM.Config.Memory VM.Config.HWType VM.Config.CDROM Datastore.AllocateSpace SDN.Use"
for who in "--users runner@pve" "--tokens runner@pve!runner"; do
  pveum acl modify / $who --roles RunnerAudit
  pveum acl modify /vms $who --roles RunnerBackup
  pveum acl modify /storage/STORAGE $who --roles RunnerBackup
done
pvesm set STORAGE --prune-backups keep-all=1   # runner prunes`

// ToDo is what is left, in its order.
func (m *Machine) ToDo(dir string) (out []string) {
	site := ""
	if dir != "/etc/runner" {
		site = " --site " + dir + "/site.star"
	}
	p := m.plan()
	out = append(out, "read "+dir+"/site.star: each guess has its reason beside it")
	if p.storage != "" {
		out = append(out,
			"make the token, as root on the node; the second line prints its secret, and nothing has RunnerRestore yet:\n"+Token(p.storage),
			fmt.Sprintf("store it:\n(umask 077; head -c 32 /dev/urandom | base64 > %s/keyring.password)\nrunner secret set pve-token%s", dir, site))
	}
	for _, t := range p.targets {
		if m.shares(t.Device) {
			out = append(out, fmt.Sprintf("%s lies on the disk of what is saved: a copy there is not counted, add a target on another disk", t.Path))
			break
		}
	}
	out = append(out, "runner check "+dir+"/nightly.star", "runner exec "+dir+"/nightly.star", "runner status"+site)
	return append(out,
		"a second place, sealed: runner recovery-key new on another machine, its recipient and the target into site.star",
		fmt.Sprintf("every night by itself:\ncp %[1]s/runner.service %[1]s/runner.timer /etc/systemd/system/\nsystemctl enable --now "+
			"runner.timer", dir))
}

// units let systemd run the nightly. A run that died is taken up first; mostly none did.
func (m *Machine) units() []File {
	return []File{{"runner.service", `# Written by runner init. A unit that ended with 3 is degraded.
[Unit]
Description=runner: the nightly backup
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
StateDirectory=runner
ExecStartPre=-` + m.wish.Program + ` resume
ExecStart=` + m.wish.Program + " exec " + m.wish.Dir + `/nightly.star
`}, {"runner.timer", `[Unit]
Description=runner: the nightly backup

[Timer]
OnCalendar=*-*-* 01:00
Persistent=true

[Install]
WantedBy=timers.target
`}}
}
