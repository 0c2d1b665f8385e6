package target

import (
	"fmt"
	"slices"
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

// Gather is the command that makes a clear file of an artifact out of what is stored of
// it: parts are put together, sealed ones opened. folder, key and into are words of a
// shell; stored names are safe in one.
func Gather(c ledger.Copy, file, folder, key, into string) string {
	var parts []string
	sealed := false
	for _, f := range c.Files {
		if f.Of == file {
			parts = append(parts, folder+f.Name)
			sealed = sealed || f.Sealed
		}
	}
	switch {
	case sealed && len(parts) == 1:
		return "age -d -i " + key + " " + parts[0] + " > " + into
	case sealed:
		return "for p in " + strings.Join(parts, " ") + "; do age -d -i " + key + ` "$p"; done > ` + into
	}
	return "cat " + strings.Join(parts, " ") + " > " + into
}

// guide writes the commands that restore this very copy, from its folder and with public
// tools alone; back are those of its kind, for the clear files in the working folder.
// Names are safe in a shell, since safeName made them.
func guide(m Manifest, back func(a ledger.Artifact, dir string) []string) []byte {
	var b strings.Builder
	sealed := len(m.Copy.SealedTo) > 0
	fmt.Fprintf(&b, "One copy: %s %s, state of %s.\n\n", m.Artifact.Kind, m.Artifact.Item,
		m.Artifact.Created.UTC().Format("2006-01-02 15:04:05 UTC"))
	b.WriteString("The commands below restore it; runner is not needed. Run them in an empty folder\nthat only you may read and that has " +
		"enough space.\n")
	step := 0
	say := func(what string, commands ...string) {
		step++
		fmt.Fprintf(&b, "\n%d. %s\n\n", step, what)
		for _, c := range commands {
			fmt.Fprintf(&b, "    %s\n", c)
		}
	}
	if sealed {
		say("Say where this folder and the file with the recovery identity are:", "COPY=/path/to/this/folder", "KEY=/path/to/recovery.key")
	} else {
		say("Say where this folder is:", "COPY=/path/to/this/folder")
	}
	say("Check that nothing is damaged:", `(cd "$COPY" && sha256sum -c `+sumsFile+")")
	clear := m.Artifact
	clear.Files = slices.Clone(m.Artifact.Files)
	var gather, check []string
	for i, f := range m.Artifact.Files {
		name := safeFile(f.Name)
		clear.Files[i].Name = name
		gather = append(gather, Gather(m.Copy, f.Name, `"$COPY"/`, `"$KEY"`, name))
		check = append(check, fmt.Sprintf("echo '%s  %s' | sha256sum -c", f.SHA256, name))
	}
	if sealed {
		say("Decrypt. A key that begins with AGE-SECRET-KEY-PQ- needs age 1.3 or newer, or the\n"+
			"   program at the root of this target: ./runner-linux-amd64 recover --help", gather...)
	} else {
		say("Fetch the files:", gather...)
	}
	say("Check that these are the bytes that the source had:", check...)
	if back != nil {
		if lines := back(clear, "."); len(lines) > 0 {
			say("Bring it back. Lines that begin with # are for you to read:", lines...)
		}
	}
	if len(m.Artifact.Needs) > 0 {
		fmt.Fprintf(&b, "\nIt is not complete without the copies of the artifacts %s.\n", strings.Join(m.Artifact.Needs, ", "))
	}
	fmt.Fprintf(&b, "\nWhat it is, and what was left out of it, is in %s.\n", manifestFile)
	return []byte(b.String())
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
