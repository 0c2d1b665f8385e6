package newsite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// site writes site.star: what was found, with the reason of each guess.
func (m *Machine) site(p plan) string {
	b := &strings.Builder{}
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	say(`"""The site of %s, written by runner init from what it found there.`, m.Name)
	say("\nEach guess has its reason beside it: correct what is wrong. runner builtins NAME")
	say("describes the arguments, and runner check says what is wrong.\n\"\"\"\n")
	say("# Where secrets are kept: none of them stands here, only their names.")
	say("keyring(dir = %s, password_file = %s)", quote(m.wish.Dir+"/keyring"), quote(m.wish.Dir+"/keyring.password"))
	m.proxmoxText(say, p)
	say("\n# This machine: runner runs on it.")
	say("host(\n    name = %s,\n    local = True,", quote(m.Name))
	say("    rear = %s,  # %s", truth(slices.Contains(p.procedures, "operating_system")), m.whyRear())
	why := because(m.Firewall, "nft and ip are installed", "its packet filter is not exported: that wants root, nft and ip")
	say("    firewall = %s,  # %s\n)", truth(m.Firewall), why)
	if slices.Contains(p.procedures, "logs") {
		say("\n# Logs: the journal, and runner's own record.")
		say("logs(name = %s, host = %s, journal = True)", quote(m.Name+"-journal"), quote(m.Name))
		if m.Proxmox != nil {
			say("logs(name = %s, host = %s, pve_tasks = True)", quote(m.Name+"-tasks"), quote(m.Name))
		}
		say(`logs(name = "runner-ledger", ledger = True)`)
	}
	m.targetsText(say, p)
	m.assetsText(say, p)
	say("\n# Old copies are removed by prune alone, and by no copy of a run.")
	say(`allow(destroy = ["prune"])`)
	return b.String()
}

func (m *Machine) whyRear() string {
	switch {
	case !m.Rear:
		return "no rescue image: apt install rear genisoimage xorriso isolinux syslinux-common"
	case len(m.To) == 0:
		return "no rescue image: it needs a target, runner init --to DIR"
	case m.onSystemDisk():
		return "no rescue image: a target lies on the system's own disk, which a recovery erases"
	}
	return "rear is installed"
}

// onSystemDisk reports whether a target lies on the disk of the system itself.
func (m *Machine) onSystemDisk() bool {
	return slices.ContainsFunc(m.To, func(t Place) bool { return t.Device.ID != "" && t.Device.ID == m.system.ID })
}

func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func because(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func (m *Machine) proxmoxText(say func(string, ...any), p plan) {
	n := m.Proxmox
	if n == nil {
		return
	}
	say("\n# Proxmox VE: /etc/pve is here. It has %d guests: %s.", len(n.Guests), oneLine(strings.Join(n.Guests, ", ")))
	for _, j := range n.Jobs {
		say("# Proxmox's own backup job %s: it may go on beside runner, or go.", oneLine(j))
	}
	var others []string
	for _, s := range n.Storages {
		if s.Name != p.storage {
			others = append(others, s.Name+" ("+s.Type+")")
		}
	}
	if len(others) > 0 {
		say("# Other storages that take backups: %s.", oneLine(strings.Join(others, ", ")))
	}
	if p.storage == "" {
		say("# No storage takes backups in files: guests are not saved until one does.")
		return
	}
	say("proxmox(\n    name = \"pve\",\n    url = \"https://127.0.0.1:8006\",")
	say("    fingerprints = [%s],  # of this node's certificate", quote(n.Fingerprint))
	say("    token_id = \"runner@pve!runner\",\n    token = secret(\"pve-token\"),")
	say("    storage = %s,\n)", quote(p.storage))
	for _, node := range n.Nodes {
		if node != n.Name {
			say("# Node %s: its archives are read over SSH: in proxmox(...), add", node)
			say("#     ssh = {%s: \"root@HOST:22\"}, host_keys = {...}, ssh_key = secret(...)", quote(node))
		}
	}
}

func (m *Machine) targetsText(say func(string, ...any), p plan) {
	if p.storage != "" {
		say("\n# The archives on the storage count as a copy where they lie.")
		say("target(name = \"node\", url = %s, medium = \"disk\", location = \"here\")", quote("pve://pve/"+p.storage))
	}
	for _, t := range p.targets {
		say("\n# %s", oneLine(strings.TrimSuffix("A folder here: "+about(t.Device), ": ")))
		if m.shares(t.Device) {
			say("# It lies on a disk whose files are saved: when that disk dies, so do both. A copy")
			say("# here is made, and does not count.")
		}
		if slices.Contains(p.procedures, "operating_system") {
			say("# Rescue images hold password hashes and keys of the host: who reads this folder has")
			say("# them. With sealed_to = [RECIPIENT], and \"read\" in place of \"opened\" below, nobody has.")
		}
		say("target(\n    name = %s,\n    url = %s,", quote(t.name), quote("file://"+t.Path))
		if t.Device.UUID != "" {
			say("    uuid = %s,  # another disk, or none, at this place is refused", quote(t.Device.UUID))
		}
		say("    medium = \"disk\",  # or \"usb\"\n    location = \"here\",\n)")
	}
	for _, d := range m.Disks {
		if !slices.ContainsFunc(m.To, func(t Place) bool { return t.Device.UUID == d.Device.UUID }) {
			say("# Another disk is mounted at %s: %s.", oneLine(d.Path), oneLine(about(d.Device)))
		}
	}
	say(`
# Another place survives a fire and a thief. What others can read is sealed; the key is
# made by runner recovery-key new, on another machine.
# target(
#     name = "offsite",
#     url = "sftp://runner@backup.example.org:22/copies",
#     medium = "disk",
#     location = "Leipzig",
#     offsite = True,
#     host_key = "ssh-ed25519 AAAA...",
#     key = secret("offsite-ssh-key"),
#     sealed_to = ["age1..."],
# )`)
}

// shares reports whether a target lies on the disk of what is saved.
func (m *Machine) shares(d ledger.Device) bool {
	return d.ID != "" && slices.ContainsFunc(m.Save, func(s Place) bool { return s.Device.ID == d.ID })
}

// rows are the SOP's table, as the bundled policies keep it.
var rows = map[string]struct{ title, retention string }{
	"virtual_machines":  {"Virtual Machines", "28d"},
	"operating_systems": {"Operating Systems", "7d"},
	"files":             {"Files", "28d"},
	"networking":        {"Firewall and Routing", "28d"},
	"system_logs":       {"System Logs", "90d"},
}

func (m *Machine) assetsText(say func(string, ...any), p plan) {
	say("\n# What is demanded: how old the newest proven copy may be (rpo), how long copies are")
	say("# kept, and on which target each is proven how far.")
	for _, a := range p.assets {
		var on []string
		if a == "virtual_machines" {
			on = append(on, `"node": "opened"`)
		}
		for _, t := range p.targets {
			on = append(on, quote(t.name)+`: "opened"`)
		}
		row := rows[a]
		say("asset(name = %s, title = %s, rpo = \"1d\", retention = %s, copies = %d,", quote(a), quote(row.title), quote(row.retention),
			m.copies(a, p))
		say("    on = {%s}%s)", strings.Join(on, ", "), m.itemsText(a))
	}
	if m.Proxmox != nil && p.storage != "" {
		say("\n# Guests with objectives of their own: those of a tag or pool of Proxmox VE, or by name.")
		say("# All others stay in virtual_machines.")
		say("# asset(name = \"workstations\", guests = tagged(\"workstation\"), rpo = \"7d\", on = {\"node\": \"opened\"})")
	}
	say("\n# DNS zones at Cloudflare: cloudflare(...) and asset(name = \"public_dns\", ...) here, and")
	say("# public_dns.star into nightly.star. UniFi gateways: unifi(...). runner builtins has both.")
}

// itemsText lists what files consists of; other assets have an inventory.
func (m *Machine) itemsText(asset string) string {
	if asset != "files" {
		return ""
	}
	var names []string
	for _, s := range m.sets() {
		names = append(names, s.name)
	}
	return ", items = " + quoted(names)
}

// copies counts the disks that hold one.
func (m *Machine) copies(asset string, p plan) int {
	ids := map[string]bool{}
	for _, t := range p.targets {
		ids[t.Device.ID] = true
	}
	n := len(ids)
	if asset == "virtual_machines" {
		n++
	}
	return n
}

// oneLine makes a text safe inside a comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}
