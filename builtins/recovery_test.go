package builtins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/medium"
	"github.com/neosofia/runner/runtime/ledger"
)

// shelf is an offline disk with a copy of a VM and one of a container, and
// nothing else: no site, no ledger, no keyring, no network.
func shelf(t *testing.T) (b *bench, folder string, key []age.Identity) {
	t.Helper()
	b = newBench(t)
	b.good(`each([lambda g = g: copy(artifact = snapshot_vm(guest = g), to = ["offline-a"]) for g in ["erp", "mail"]])`)
	keys, err := ReadKeys("the lab's", strings.NewReader(lab.RecoveryIdentity))
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(t.TempDir(), "disk")
	if err := os.CopyFS(folder, os.DirFS(b.usb("offline-a"))); err != nil {
		t.Fatal(err)
	}
	return b, folder, keys.Identities
}

func openMedium(t *testing.T, folder string, ids []age.Identity) *medium.Medium {
	t.Helper()
	m, err := medium.Open(t.Context(), folder, medium.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Unlock(Keys{Identities: ids})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func TestRecoverBringsBackFromOneMediumAlone(t *testing.T) {
	t.Parallel()
	b, folder, ids := shelf(t)
	m := openMedium(t, folder, ids)
	list := m.Entries()
	if len(list) != 2 || list[0].Item != "mail" || list[1].Item != "erp" || !list[0].Sealed || !list[0].Opened || len(m.Bad) != 0 {
		t.Fatalf("got %+v, %v", list, m.Bad)
	}
	out := t.TempDir()
	for _, e := range list {
		v, err := m.Verify(t.Context(), e.ID)
		if err != nil || v.Level != ledger.Opened {
			t.Errorf("%s: got %+v, %v", e.Item, v, err)
		}
	}
	vm, err := m.Extract(t.Context(), list[1].ID, out)
	if err != nil || len(vm.Paths) != 2 || len(vm.Config) == 0 {
		t.Fatalf("got %+v, %v", vm, err)
	}
	for _, path := range vm.Paths {
		key := strings.TrimSuffix(path[strings.LastIndex(path, "-")+1:], ".raw")
		disk, err := b.lab.Disk(100, key)
		if err != nil {
			t.Fatal(err)
		}
		if sumOf(t, path) != sumOf(t, disk) {
			t.Errorf("%s differs from %s", path, disk)
		}
	}
	ct, err := m.Extract(t.Context(), list[0].ID, out)
	if err != nil || len(ct.Paths) != 1 {
		t.Fatalf("got %+v, %v", ct, err)
	}
	sameTree(t, b, ct.Paths[0])
	archive, err := m.Archive(t.Context(), list[1].ID, out)
	if err != nil || len(archive.Paths) != 1 || sumOf(t, archive.Paths[0]) != sumOf(t, b.dump(b.artifactOf("erp"))) {
		t.Errorf("the archive: got %+v, %v", archive, err)
	}
	if _, err := m.Archive(t.Context(), list[1].ID, out); err == nil || !strings.Contains(err.Error(), "it is not overwritten") {
		t.Errorf("a second time: got %v", err)
	}
}

func sameTree(t *testing.T, b *bench, root string) {
	t.Helper()
	from, err := b.lab.Disk(101, "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(p, from)
		if err != nil || !e.Type().IsRegular() || rel == "/tmp/leftover" || rel == "/var/run/postfix.pid" {
			return err
		}
		want, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(root + rel); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v; want %d", rel, len(got), err, len(want))
		}
		n++
		return nil
	})
	if err != nil || n < 50 {
		t.Errorf("compared %d files, %v", n, err)
	}
}

func (b *bench) artifactOf(item string) ledger.Artifact {
	b.t.Helper()
	for _, a := range b.artifacts() {
		if a.Item == item {
			return a
		}
	}
	b.t.Fatalf("no artifact of %s", item)
	return ledger.Artifact{}
}

func TestRecoverNeedsTheIdentity(t *testing.T) {
	t.Parallel()
	_, folder, _ := shelf(t)
	m := openMedium(t, folder, nil)
	list := m.Entries()
	if v, err := m.Verify(t.Context(), list[0].ID); err != nil || v.Level != ledger.Read {
		t.Errorf("read back: got %+v, %v", v, err)
	}
	out := t.TempDir()
	if _, err := m.Extract(t.Context(), list[0].ID, out); err == nil || !strings.Contains(err.Error(), "identity") {
		t.Errorf("got %v", err)
	}
	other, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openMedium(t, folder, []age.Identity{other}).Archive(t.Context(), list[0].ID, out); err == nil {
		t.Error("another identity opened it")
	}
	if _, err := m.Pick("nobody", "", true); err == nil || !strings.Contains(err.Error(), "no copy of nobody") {
		t.Errorf("an unknown item: got %v", err)
	}
}

func TestRecoverRefusesADamagedCopy(t *testing.T) {
	t.Parallel()
	_, folder, ids := shelf(t)
	files, err := filepath.Glob(filepath.Join(folder, "*", "*", "*", "*.age"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, f := range files {
		flip(t, f)
	}
	m := openMedium(t, folder, ids)
	for _, e := range m.Entries() {
		out := t.TempDir()
		if _, err := m.Verify(t.Context(), e.ID); err == nil {
			t.Errorf("%s: a damaged copy was verified", e.Item)
		}
		if _, err := m.Archive(t.Context(), e.ID, out); err == nil {
			t.Errorf("%s: the archive of a damaged copy was written", e.Item)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
			t.Errorf("%s: left behind: %v, %v", e.Item, left, err)
		}
		if _, err := m.Extract(t.Context(), e.ID, out); err == nil || !strings.Contains(err.Error(), "incomplete") {
			t.Errorf("%s: got %v", e.Item, err)
		}
	}
}

// What a medium says is not believed: names lead nowhere, and a manifest that is
// none is reported, while the others serve.
func TestRecoverDistrustsManifests(t *testing.T) {
	t.Parallel()
	_, folder, ids := shelf(t)
	manifests, err := filepath.Glob(filepath.Join(folder, "vm", "*", "*", "manifest.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("got %v, %v", manifests, err)
	}
	good, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for _, c := range []struct{ name, text string }{
		{"a file outside of the folder", strings.ReplaceAll(text, `"vzdump-qemu`, `"../../../vzdump-qemu`)},
		{"a folder outside of the medium", strings.Replace(text, `"ref": "vm/`, `"ref": "../vm/`, 1)},
		{"an absurd size", strings.Replace(text, `"size": `, `"size": 99999999999999999`, 1)},
		{"a control sequence in a name", strings.ReplaceAll(text, `"item": "erp"`, `"item": "e\u001b[2Jrp"`)},
		{"another item than its folder", strings.ReplaceAll(text, `"item": "erp"`, `"item": "../../etc"`)},
		{"another time than its folder", strings.Replace(text, `"created": "20`, `"created": "19`, 1)},
		{"a key twice", strings.Replace(text, `"version": 1,`, `"version": 1, "version": 1,`, 1)},
		{"a version of the future", strings.Replace(text, `"version": 1`, `"version": 9`, 1)},
		{"half of it", text[:len(text)/2]},
		{"nothing", ""},
	} {
		if c.text == text {
			t.Errorf("%s: the manifest does not hold what is changed", c.name)
		}
		if err := os.WriteFile(manifests[0], []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m := openMedium(t, folder, ids)
		if list := m.Entries(); len(list) != 1 || list[0].Item != "mail" || len(m.Bad) != 1 {
			t.Errorf("%s: got %+v, %v; want the other copy, and a word", c.name, list, m.Bad)
		}
	}
	renamed := strings.ReplaceAll(text, `"item": "erp"`, `"item": "../../x"`)
	if err := os.WriteFile(manifests[0], []byte(renamed), 0o600); err != nil {
		t.Fatal(err)
	}
	m := openMedium(t, folder, ids)
	out := t.TempDir()
	for _, e := range m.Entries() {
		if e.Kind == "vm" {
			if _, err := m.Extract(t.Context(), e.ID, out); err != nil {
				t.Errorf("got %v", err)
			}
		}
	}
	if up, err := filepath.Glob(filepath.Join(out, "..", "x*")); err != nil || len(up) != 0 {
		t.Errorf("it climbed out: %v, %v", up, err)
	}
}

func TestRecoverPrintsTheCommands(t *testing.T) {
	t.Parallel()
	_, folder, ids := shelf(t)
	m := openMedium(t, folder, ids)
	for _, e := range m.Entries() {
		lines, err := m.Commands(e.ID, "/root/my key.txt")
		all := strings.Join(lines, "\n")
		want := map[string]string{"vm": "qmrestore /var/lib/vz/dump/vzdump-qemu-100-",
			"ct": "pct restore NEWID /var/lib/vz/dump/vzdump-lxc-101-"}[e.Kind]
		if w := missing(all, []string{want, "sha256sum -c SHA256SUMS", "'/root/my key.txt'", e.Folder}); err != nil || w != "" {
			t.Errorf("%s: no %q in\n%s\n%v", e.Item, w, all, err)
		}
	}
}
