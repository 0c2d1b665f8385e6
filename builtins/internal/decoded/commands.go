package decoded

import "github.com/neosofia/runner/builtins/internal/target"

// Commands bring a guest back from parts that lie in the working folder, without runner; lines that begin
// with # are for who reads them.
func Commands(ix Index) []string {
	if len(ix.Parts) == 1 && ix.Parts[0].Kind == target.PartTree {
		return []string{"# as root on a Proxmox VE node, NEWID a free number, STORAGE one of the node's:",
			"pct restore NEWID " + ix.Parts[0].Name + " --storage STORAGE"}
	}
	lines := []string{"# as root on a Proxmox VE node, NEWID a free number, STORAGE one of the node's:", "qm create NEWID"}
	for _, p := range ix.Parts {
		if p.Kind == target.PartDisk {
			lines = append(lines, "qm importdisk NEWID "+quote(p.Name)+" STORAGE")
		}
	}
	return append(lines, "# then take the lines of config-qemu-server.conf over into /etc/pve/qemu-server/NEWID.conf, and put each",
		"# imported disk (unused0, unused1…) where its line #qmdump#map says that it was")
}

// quote makes a word of a shell; names of disks come from the archive.
func quote(s string) string {
	out := "'"
	for _, r := range s {
		if r == '\'' {
			out += `'\''`
		} else {
			out += string(r)
		}
	}
	return out + "'"
}
