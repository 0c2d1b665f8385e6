package target

import (
	"fmt"
	"strings"
)

// KopiaCommands get copies out of a repository with kopia's own program: FOLDER is the repository's,
// SNAPSHOT and NAME are for who restores to fill in.
const KopiaCommands = `export KOPIA_PASSWORD='...'    # the password of the repository, from the sealed secrets
kopia repository connect filesystem --path=FOLDER --readonly
kopia snapshot list --all --show-identical    # runner@runner:/KIND/ASSET/TIME, and the snapshot's id
kopia restore SNAPSHOT/NAME NAME    # one file
kopia restore SNAPSHOT OUT    # all files of a copy
kopia snapshot verify --verify-files-percent=100    # reads every chunk
kopia repository disconnect
`

// chunksGuide is the README of the root of a target whose copies lie in a repository.
func chunksGuide() []byte {
	var b strings.Builder
	b.WriteString(`This place holds backup copies made by runner. They can be restored without it.

  ` + chunksFolder + `/                            a repository of kopia (https://kopia.io), version 0.23: chunks of data that
                                     copies share, compressed and encrypted
  runner-linux-<arch>                the program. Copy it to a disk that may execute it, make it
                                     executable (chmod +x), and call it with: recover --help
  checkpoint-<host>.txt              what the ledger of that host was at its last run

kopia's own program lists and restores the copies; SNAPSHOT is an id of its list. Each copy has a README.txt
of its own, SHA256SUMS and manifest.json; one without manifest.json is not complete. FOLDER is the
folder ` + chunksFolder + ` beside this file, as an absolute path:

`)
	for line := range strings.Lines(KopiaCommands) {
		fmt.Fprintf(&b, "    %s", line)
	}
	b.WriteString("\nNever let kopia maintain this repository: runner does.\n\n")
	return []byte(b.String())
}

// decodedGuide are the commands for a copy that lies decoded, in the folder that kopia restored.
func decodedGuide(m Manifest, commands func(d Decoded) []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "One copy: %s %s, state of %s.\n\n", m.Artifact.Kind, m.Artifact.Item,
		m.Artifact.Created.UTC().Format("2006-01-02 15:04:05 UTC"))
	b.WriteString("The commands below restore it; runner is not needed. Run them in the folder that kopia restored,\nbeside this file.\n\n" +
		"1. Check that nothing is damaged:\n\n    sha256sum -c " + sumsFile + "\n\n" +
		"2. Bring it back. Lines that begin with # are for you to read:\n\n")
	for _, d := range m.Decoded {
		for _, line := range commands(d) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	fmt.Fprintf(&b, "\nWhat it is, and what was left out of it, is in %s.\n", manifestFile)
	return []byte(b.String())
}
