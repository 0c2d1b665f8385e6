package chunks_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/neosofia/runner/builtins/internal/chunks"
)

// builtKopia is the folder that TestMain removes.
var builtKopia string

// kopiaProgram builds kopia's own program, of the very version that is linked in.
var kopiaProgram = sync.OnceValues(func() (string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/kopia/kopia")
	list.Stderr = os.Stderr
	src, err := list.Output()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "kopia-program-")
	if err != nil {
		return "", err
	}
	builtKopia = dir
	program := filepath.Join(dir, "kopia")
	c := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	c.Dir, c.Stderr = strings.TrimSpace(string(src)), os.Stderr
	return program, c.Run()
})

// kopia runs lines of a shell in which kopia is the program.
func kopia(t *testing.T, home, script string) string {
	t.Helper()
	program := os.Getenv("RUNNER_KOPIA") // one that is built already
	if program == "" {
		var err error
		if program, err = kopiaProgram(); err != nil {
			t.Fatalf("build kopia: %v", err)
		}
	}
	c := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
	c.Dir = home
	c.Env = []string{"HOME=" + home, "PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "KOPIA_CHECK_FOR_UPDATES=false",
		"KOPIA_PASSWORD=" + password, "KOPIA_LOG_DIR=" + filepath.Join(home, "logs")}
	var words bytes.Buffer
	c.Stderr = &words
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, words.String())
	}
	return string(out)
}

func needsKopia(t *testing.T) {
	t.Helper()
	if os.Getenv("RUNNER_REAL") == "" {
		t.Skip("set RUNNER_REAL=1 to build kopia's own program and run against it")
	}
}

// Every line of the README is run, and what comes back is compared byte for byte.
func TestKopiasProgramRestoresByTheReadme(t *testing.T) {
	needsKopia(t)
	dir, home := create(t), t.TempDir()
	w := open(t, dir, true)
	files := map[string][]byte{"disk.raw": random(1, 9<<20+512), "rootfs.tar": random(2, 3<<20), "qemu-server.conf": []byte("cores: 2\n"),
		"empty": {}}
	files["zeros.raw"] = make([]byte, 5<<20)
	for name, data := range files {
		put(t, w, "vm/erp/T1/"+name, data)
	}
	put(t, w, "vm/erp/T0/disk.raw", random(1, 8<<20))
	// The writer stays open: kopia reads beside it.
	lines := strings.NewReplacer("'...'", "'"+password+"'", "FOLDER", dir, "SNAPSHOT", "$SNAPSHOT", "/NAME", "/disk.raw", " NAME", " disk.raw",
		"OUT", "out").Replace(chunks.ReadmeCommands)
	first, rest, ok := strings.Cut(lines, "kopia restore")
	if !ok {
		t.Fatalf("the README restores nothing: %s", lines)
	}
	list := kopia(t, home, first+"kopia snapshot list --all --json > list.json\n")
	for _, want := range []string{"runner@runner:/vm/erp/T1", "runner@runner:/vm/erp/T0"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not name %s:\n%s", want, list)
		}
	}
	var all []struct {
		ID     string
		Source struct{ Path string }
	}
	raw, err := os.ReadFile(filepath.Join(home, "list.json"))
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, s := range all {
		if s.Source.Path == "/vm/erp/T1" {
			id = s.ID
		}
	}
	kopia(t, home, "SNAPSHOT="+id+"\nkopia restore"+rest)
	if got, err := os.ReadFile(filepath.Join(home, "disk.raw")); err != nil || !bytes.Equal(got, files["disk.raw"]) {
		t.Errorf("one file: %d bytes, %v", len(got), err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(home, "out", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d equal ones", name, len(got), err, len(want))
		}
	}
	if left, err := os.ReadDir(filepath.Join(home, "out")); err != nil || len(left) != len(files) {
		t.Errorf("restored %v, %v", left, err)
	}
}

// What kopia wrote is read: folders in folders, single files, and its own maintenance does no harm.
func TestWhatKopiasProgramWroteIsRead(t *testing.T) {
	needsKopia(t)
	dir, home := create(t), t.TempDir()
	w := open(t, dir, true)
	put(t, w, "vm/erp/T1/disk.raw", random(1, 2<<20))
	shut(t, w)
	tree := map[string][]byte{"a.txt": []byte("a"), "sub/deep/b.bin": random(3, 3<<20+1), "sub/c": {}}
	for name, data := range tree {
		path := filepath.Join(home, "tree", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kopia(t, home, `kopia repository connect filesystem --path=`+dir+` --override-hostname=pve1 --override-username=root
kopia policy set --global --compression=zstd-fastest
kopia snapshot create tree
kopia snapshot create tree/a.txt
kopia snapshot create --override-source=runner@runner:/by/hand tree
kopia snapshot expire --all --delete
kopia maintenance run --full --safety=full 2>maintenance.txt || grep -q 'designated user' maintenance.txt
kopia snapshot verify --verify-files-percent=100
kopia repository disconnect
`)
	r := open(t, dir, true)
	for name, data := range tree {
		for _, at := range []string{"root@pve1" + home + "/tree", "by/hand"} {
			if got := get(t, r, at+"/"+name, 0, -1); !bytes.Equal(got, data) {
				t.Errorf("%s/%s came back with %d bytes, want %d equal ones", at, name, len(got), len(data))
			}
		}
	}
	if got := get(t, r, "root@pve1"+home+"/tree/a.txt", 0, -1); string(got) != "a" {
		t.Errorf("a single file: %q", got)
	}
	if all, err := r.List(t.Context(), "by/hand/sub"); err != nil || len(all) != 2 || all[0].Name != "c" || !all[1].Dir {
		t.Errorf("a folder of kopia's: %v, %v", all, err)
	}
	if got := get(t, r, "vm/erp/T1/disk.raw", 0, -1); !bytes.Equal(got, random(1, 2<<20)) {
		t.Error("our disk came back with other bytes")
	}
	put(t, r, "by/hand/new", []byte("beside"))
	if _, err := r.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	if bad, err := r.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
	for name, want := range map[string][]byte{"by/hand/sub/deep/b.bin": tree["sub/deep/b.bin"], "by/hand/new": []byte("beside")} {
		if got := get(t, r, name, 0, -1); !bytes.Equal(got, want) {
			t.Errorf("%s came back with other bytes after maintenance", name)
		}
	}
}
