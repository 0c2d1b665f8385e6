package target

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// sums is in the format of sha256sum -c.
func sums(files []ledger.StoredFile) []byte {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Name)
	}
	return []byte(b.String())
}

// guide writes the commands that restore this very copy. Its names are safe in a
// shell, since safeName made them.
func guide(m Manifest) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "One copy of %s %s, state of %s.\n", m.Artifact.Kind, m.Artifact.Item, m.Artifact.Created.UTC().Format("2006-01-02 15:04:05 UTC"))
	fmt.Fprintf(&b, "It can be restored with the commands below; no other program is needed.\n")
	fmt.Fprintf(&b, "Run them in a folder with enough space; COPY is the path of this folder.\n")
	step := 1
	say := func(what string, commands ...string) {
		fmt.Fprintf(&b, "\n%d. %s\n\n", step, what)
		for _, c := range commands {
			fmt.Fprintf(&b, "    %s\n", c)
		}
		step++
	}
	say("Check that nothing is damaged:", "(cd COPY && sha256sum -c "+sumsFile+")")
	for _, f := range m.Artifact.Files {
		gather(m.Copy, f.Name, say)
	}
	var all []string
	for _, f := range m.Artifact.Files {
		all = append(all, fmt.Sprintf("echo '%s  %s' | sha256sum -c", f.SHA256, safeFile(f.Name)))
	}
	say("Check that these are the bytes that the source had:", all...)
	for _, f := range m.Artifact.Files {
		unpack(m.Artifact.Kind, safeFile(f.Name), say)
	}
	if len(m.Artifact.Needs) > 0 {
		fmt.Fprintf(&b, "\nThis copy is not complete without those of the artifacts %s.\n", strings.Join(m.Artifact.Needs, ", "))
	}
	fmt.Fprintf(&b, "\nWhat it is and what was left out of it is in %s.\n", manifestFile)
	return []byte(b.String())
}

// gather makes a file of the artifact out of its stored files.
func gather(c ledger.Copy, file string, say func(string, ...string)) {
	var names []string
	sealed := false
	for _, f := range c.Files {
		if f.Of == file {
			names = append(names, f.Name)
			sealed = sealed || f.Sealed
		}
	}
	name := safeFile(file)
	first := "Copy the file:"
	if len(names) > 1 {
		first = "Put the parts together:"
	}
	var lines []string
	for i, stored := range names {
		into := ">"
		if i > 0 {
			into = ">>"
		}
		command := "cat COPY/" + stored
		if sealed {
			command = "age -d -i KEY COPY/" + stored
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", command, into, name))
	}
	if sealed {
		first = "Decrypt; KEY is the file with the recovery identity. A key that begins with AGE-SECRET-KEY-PQ- needs\n" +
			"   age 1.3 or newer, or the program at the root of this target: ./runner-linux-amd64 recover --help"
	}
	say(first, lines...)
}

// unpack says what to do with the clear file.
func unpack(kind, name string, say func(string, ...string)) {
	lower := strings.ToLower(name)
	packed := ""
	for suffix, command := range map[string]string{".zst": "zstd -d ", ".gz": "gunzip -k ", ".lzo": "lzop -d "} {
		if strings.HasSuffix(lower, suffix) {
			packed = command
			lower = strings.TrimSuffix(lower, suffix)
		}
	}
	tar := strings.HasSuffix(lower, ".tar") || strings.HasSuffix(lower, ".tgz")
	switch {
	case strings.HasSuffix(lower, ".vma"):
		say("Restore the VM on a Proxmox host, with a free id and a storage of that host:", "qmrestore "+name+" VMID --storage STORAGE")
		if packed != "" {
			say("Or only get at its disks (vma comes with Proxmox VE):", packed+name, "vma extract "+name[:len(lower)]+" DISKS")
		}
	case tar && kind == "ct":
		say("Restore the container on a Proxmox host, with a free id and a storage of that host:", "pct restore CTID "+name+" --storage STORAGE")
		say("Or only get at its files:", "mkdir TREE && tar --numeric-owner -xpf "+name+" -C TREE")
	case tar:
		say("Unpack:", "mkdir TREE && tar --numeric-owner -xpf "+name+" -C TREE")
	case packed != "":
		say("Unpack:", packed+name)
	}
}

// rootGuide is the README of a target's root.
func rootGuide() []byte {
	return []byte(`This place holds backup copies made by runner. They can be restored without it.

  <kind>/<item>/<time>-<artifact>/   one copy. Its README.txt has the commands, SHA256SUMS the
                                     digests, manifest.json says what it is. Times are UTC.
                                     A folder without manifest.json is not a complete copy.
  runner-linux-<arch>                the program. Copy it to a disk that may execute it, make it
                                     executable (chmod +x), and call it with: recover --help
  checkpoint-<host>.txt              what the ledger of that host was at its last run
  .runner-parts/                     copies that are not complete yet

`)
}
