package target

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/mirror"
)

// MirrorCommands make the repository again out of its sealed mirror, with age and a shell, and open it with kopia's own
// program. MIRROR, KEY and REF are for who restores to fill in.
const MirrorCommands = `MIRROR=/path/to/this/folder    # where this file lies
KEY=/path/to/recovery.key      # the recovery identity
REF=KIND/ITEM/TIME-ID          # folder of the copy that is wanted
STATE=$(cd "$MIRROR" && grep -lx "# holds $REF" ` + mirror.States + `/*/` + mirror.ListFile + ` | sort | tail -n 1)
STATE=${STATE%/` + mirror.ListFile + `}
(cd "$MIRROR" && sha256sum --quiet -c "$STATE/` + mirror.ListFile + `")
age -d -i "$KEY" "$MIRROR/$STATE/` + mirror.IndexFile + `" > index.txt
while read -r sum size name clear bytes file; do
  case $sum in '#') continue;; esac
  mkdir -p "repository/$(dirname "$file")"
  age -d -i "$KEY" "$MIRROR/$name" > "repository/$file"
  echo "$clear  repository/$file"
done < index.txt > SHA256SUMS
sha256sum --quiet -c SHA256SUMS
export KOPIA_PASSWORD="$(age -d -i "$KEY" "$MIRROR/$STATE/` + mirror.PasswordFile + `")"
kopia repository connect filesystem --path="$PWD/repository" --readonly
kopia snapshot list --all --show-identical    # find runner@runner:/REF, and the snapshot's id
kopia restore SNAPSHOT OUT    # all files of the copy; OUT/README.txt says how it comes back
kopia repository disconnect
`

// MirrorSteps are MirrorCommands with what is known filled in.
func MirrorSteps(place, key, ref string) string {
	word := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return strings.NewReplacer("MIRROR=/path/to/this/folder    # where this file lies", "MIRROR="+word(place),
		"KEY=/path/to/recovery.key      # the recovery identity", "KEY="+word(key),
		"REF=KIND/ITEM/TIME-ID          # folder of the copy that is wanted", "REF="+word(ref),
		"runner@runner:/REF", "runner@runner:/"+ref).Replace(MirrorCommands)
}

// mirrorGuide is the README of the root of a mirror.
func mirrorGuide() []byte {
	var b strings.Builder
	b.WriteString(`This place holds backup copies made by runner, as the sealed mirror of a repository of kopia (https://kopia.io),
version 0.23. They can be restored without runner, with age and kopia.

  ` + mirror.Blobs + `/                      the repository's files, each sealed by age under a name that tells nothing
  ` + mirror.States + `/<time>-<id>/         what belongs together: ` + mirror.IndexFile + ` (which file is which) and
                                     ` + mirror.PasswordFile + ` (the repository's password) are sealed; ` + mirror.ListFile + `
                                     names what a state needs and which copies it holds. Without it, it is not
                                     complete.
  <kind>/<item>/<time>-<artifact>/   manifest.json of one copy: what it is. A copy without one is not complete.
  runner-linux-<arch>                the program. Copy it to a disk that may execute it, make it
                                     executable (chmod +x), and call it with: recover --help
  checkpoint-<host>.txt              what the ledger of that host was at its last run

Run these in an empty folder that only you may read and that has enough space. A key that begins with
AGE-SECRET-KEY-PQ- needs age 1.3 or newer, or the program beside this file, which does all of it at once:
./runner-linux-amd64 recover --from THIS-FOLDER --identity KEY --item ITEM --to DIR

`)
	for line := range strings.Lines(MirrorCommands) {
		fmt.Fprintf(&b, "    %s", line)
	}
	b.WriteString("\n")
	return []byte(b.String())
}

// mirrorCopyGuide is the README of one copy.
func mirrorCopyGuide(m Manifest) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "One copy: %s %s, state of %s.\n\nIts files are in the sealed mirror, ../../../%s. README.txt at the root of this place "+
		"has the commands; there,\n\n    REF=%s\n\nOut of the repository come:\n\n", m.Artifact.Kind, m.Artifact.Item,
		m.Artifact.Created.UTC().Format("2006-01-02 15:04:05 UTC"), mirror.Folder, m.Copy.Ref)
	for _, f := range m.Copy.Files {
		fmt.Fprintf(&b, "    %s  %s\n", f.SHA256, f.Name)
	}
	fmt.Fprintf(&b, "\nWhat it is, and what was left out of it, is in %s.\n", manifestFile)
	return []byte(b.String())
}
