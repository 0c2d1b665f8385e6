package real

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// vendors are commands that need a system of its vendor, or a stick: they are for people.
var vendors = regexp.MustCompile(`^(qmrestore|pct restore|vma extract|curl|dd if=|lsblk) ?`)

// afterwards is what the commands of a kind leave in the folder where they ran.
var afterwards = map[string]string{
	"vm": "vzdump-qemu-*.vma", "ct": "TREE/etc/hostname", "zone": "zone.bind", "secrets": "opened/secrets/*", "logs": "*", "rear": "*.iso",
	"ruleset": "ruleset.json",
}

// What the README.txt of each copy says is done, word for word, with public tools alone.
func TestTheReadmeOfEveryCopyBringsItBack(t *testing.T) {
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "recovery.key")
	_, recipient, found := strings.Cut(strings.TrimSpace(tool(t, "age-keygen", "-o", key)), "Public key: ")
	if !found {
		t.Fatal("age-keygen prints no recipient")
	}
	site := regexp.MustCompile(`(?m)^RECOVERY = .*$`).ReplaceAllString(tool(t, bin, "lab", "site"), `RECOVERY = "`+recipient+`"`)
	if err := os.WriteFile(filepath.Join(dir, "site.star"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	tool(t, bin, "exec", "--lab", "--site", filepath.Join(dir, "site.star"), "--state", state, "../../policies/nightly.star")
	kinds := map[string]int{}
	err = filepath.WalkDir(filepath.Join(state, "world"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "manifest.json" {
			return err
		}
		folder := filepath.Dir(path)
		kind := filepath.Base(filepath.Dir(filepath.Dir(folder)))
		kinds[kind]++
		follow(t, kind, folder, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind := range afterwards {
		if kinds[kind] < 2 { // sealed, and not
			t.Errorf("got %d copies of kind %s, want some", kinds[kind], kind)
		}
	}
}

// follow does what the README of a copy says.
func follow(t *testing.T, kind, folder, key string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(folder, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var script []string
	for line := range strings.Lines(string(readme)) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if !ok || vendors.MatchString(command) {
			continue
		}
		script = append(script, strings.NewReplacer("/path/to/this/folder", folder, "/path/to/recovery.key", key).Replace(command))
	}
	work := t.TempDir()
	cmd := exec.Command("sh", "-eu", "-c", strings.Join(script, "\n"))
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s\nof\n%s", folder, err, out, readme)
		return
	}
	if made, err := filepath.Glob(filepath.Join(work, afterwards[kind])); err != nil || len(made) == 0 {
		t.Errorf("%s: the commands leave no %s:\n%s", folder, afterwards[kind], readme)
	}
}
