package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	partsFolder  = ".runner-parts"
	manifestFile = "manifest.json"
	sumsFile     = "SHA256SUMS"
	readmeFile   = "README.txt"
	progressFile = "progress.json"
	timeLayout   = "20060102T150405Z"
	maxName      = 120 // bytes; leaves room for ".000001.age" on any file system
)

// plain reports a name that is used as it is. Two dashes are kept for names
// that were changed, so no name can be taken for the changed form of another.
func plain(name string) bool {
	if name == "" || len(name) > maxName || strings.Contains(name, "--") ||
		strings.IndexByte(".-", name[0]) >= 0 || name[len(name)-1] == '.' {
		return false
	}
	for i := range len(name) {
		if !allowed(name[i]) {
			return false
		}
	}
	return !reserved(name)
}

var vti = regexp.MustCompile("(?i)_vti_")

// reserved are names that SharePoint and Windows keep for themselves: a copy has the same
// name wherever it lies.
func reserved(name string) bool {
	lower := strings.ToLower(name)
	stem, _, _ := strings.Cut(lower, ".")
	switch {
	case stem == "con", stem == "prn", stem == "aux", stem == "nul", lower == "desktop.ini", strings.Contains(lower, "_vti_"):
		return true
	case len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")):
		return '0' <= stem[3] && stem[3] <= '9'
	}
	return false
}

func allowed(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-", c) >= 0
}

// safeName returns name, or a name like it that no other name becomes.
func safeName(name string) string {
	if plain(name) {
		return name
	}
	return changed(name)
}

// changed keeps what follows the first dot, since it says what a file is.
func changed(name string) string {
	sum := sha256.Sum256([]byte(name))
	stem, ext := name, ""
	if i := strings.IndexByte(name, '.'); i > 0 && len(name)-i <= 16 && plain("x"+name[i:]) {
		stem, ext = name[:i], name[i:]
	}
	b := []byte(stem[:min(len(stem), 60)])
	if len(b) == 0 {
		b = []byte{'_'}
	}
	for i, c := range b {
		if !allowed(c) || i == 0 && strings.IndexByte(".-", c) >= 0 {
			b[i] = '_'
		}
	}
	b = vti.ReplaceAll(b, []byte("_vti-"))
	if reserved(string(b)) {
		b = append([]byte{'_'}, b...)
	}
	return strings.ReplaceAll(string(b), "--", "__") + "--" + hex.EncodeToString(sum[:8]) + ext
}

// safeFile is safeName for a file of an artifact, beside files of our own.
func safeFile(name string) string {
	switch strings.ToLower(name) {
	case manifestFile, strings.ToLower(sumsFile), strings.ToLower(readmeFile), progressFile:
		return changed(name)
	}
	return safeName(name)
}

// safeKind is safeName for the first folder, beside files of our own.
func safeKind(name string) string {
	lower := strings.ToLower(name)
	if lower == "readme.txt" || strings.HasPrefix(lower, "runner-") || strings.HasPrefix(lower, "checkpoint-") {
		return changed(name)
	}
	return safeName(name)
}

// safePart reports a name that this package may have made: it can be used in a path.
func safePart(name string) bool {
	if name == "" || len(name) > 255 || strings.IndexByte(".-", name[0]) >= 0 {
		return false
	}
	for i := range len(name) {
		if !allowed(name[i]) {
			return false
		}
	}
	return true
}

// folderOf returns where the copy of an artifact lies on every target.
func folderOf(a ledger.Artifact) string {
	return path.Join(safeKind(a.Kind), safeName(a.Item), a.Created.UTC().Format(timeLayout)+"-"+a.ID)
}

// checkFolder accepts only what folderOf can have made.
func checkFolder(folder, artifact string) error {
	parts := strings.Split(folder, "/")
	if len(parts) != 3 || !safePart(parts[0]) || !safePart(parts[1]) || !safePart(parts[2]) {
		return fmt.Errorf("%q is not a folder of a copy", folder)
	}
	stamp, id, ok := strings.Cut(parts[2], "-")
	if _, err := time.Parse(timeLayout, stamp); err != nil || !ok || id != artifact {
		return fmt.Errorf("%q is not a folder of artifact %q", folder, artifact)
	}
	return nil
}

// storedName names a part of a file on the target; part 0 is the whole file.
func storedName(file string, part, width int, sealed bool) string {
	name := safeFile(file)
	if part > 0 {
		name = fmt.Sprintf("%s.%0*d", name, width, part)
	}
	if sealed {
		name += ".age"
	}
	return name
}
