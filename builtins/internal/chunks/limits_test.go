package chunks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/format"
	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// A repository that a later kopia wrote is refused by name, and not taken for damage.
func TestANewerFormatIsRefused(t *testing.T) {
	dir := create(t)
	path := filepath.Join(dir, "kopia.repository.f")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := format.ParseKopiaRepositoryJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.DeriveFormatEncryptionKeyFromPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	config := &format.RepositoryConfig{ContentFormat: format.ContentFormat{Hash: "BLAKE2B-256-128", Encryption: "AES256-GCM-HMAC-SHA256",
		HMACSecret: key, MasterKey: key, MutableParameters: format.MutableParameters{Version: format.MaxFormatVersion + 1,
			MaxPackSize: 20 << 20, IndexVersion: 2}}}
	if err := f.EncryptRepositoryConfig(config, key); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(f); err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = chunks.Open(t.Context(), options(t, dir, false))
	wants(t, err, target.CodeBadTarget, "use a newer runner")
}

// What stands in front of the password is bounded and believed in nothing.
func TestAHostileFormatBlobIsRefused(t *testing.T) {
	good := create(t)
	raw, err := os.ReadFile(filepath.Join(good, "kopia.repository.f"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty": {}, "null": []byte("null"), "no object": []byte("[]"), "no fields": []byte("{}"), "half": raw[:len(raw)/2],
		"unknown key algorithm": bytes.Replace(raw, []byte("pbkdf2-sha256-600000"), []byte("pbkdf2-sha256-999999999"), 1),
		"huge":                  nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := create(t)
			path := filepath.Join(dir, "kopia.repository.f")
			err := os.WriteFile(path, text, 0o600)
			if name == "huge" {
				err = os.Truncate(path, 1<<40)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := chunks.Open(t.Context(), options(t, dir, true))
			if err == nil {
				r.Close(t.Context())
			}
			var e *failure.Error
			if !errors.As(err, &e) || e.Code.Name == "" {
				t.Errorf("got %v, want an error with a code", err)
			}
		})
	}
}

// smallDisk is a file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small file system takes root to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no tmpfs can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskIsTold(t *testing.T) {
	dir := smallDisk(t, "48m")
	if err := chunks.Create(t.Context(), options(t, dir, true)); err != nil {
		t.Fatal(err)
	}
	w := open(t, dir, true)
	disk := random(1, 4<<20)
	put(t, w, "vm/erp/T1/disk.raw", disk)
	for range 2 { // the second finds the disk full of what the first left
		_, err := w.Put(t.Context(), "vm/erp/T2/disk.raw", 0, -1, io.LimitReader(&noEnd{told: 1 << 40}, 64<<20))
		wants(t, err, target.CodeFull, "no space left on device")
	}
	if got := get(t, w, "vm/erp/T1/disk.raw", 0, -1); !bytes.Equal(got, disk) {
		t.Error("the disk before came back with other bytes")
	}
	if freed, err := w.Maintain(t.Context()); err != nil || freed < 20<<20 {
		t.Errorf("maintenance freed %d bytes, %v: want those of the put that failed", freed, err)
	}
	put(t, w, "vm/erp/T3/disk.raw", append(disk, 3))
	if free, total, err := w.Space(t.Context()); err != nil || total != 48<<20 || free < 20<<20 || free >= total {
		t.Errorf("space: %d of %d free, %v", free, total, err)
	}
}

// With a clock that was set back, what was deleted stays so, and what is new is seen.
func TestTheClockGoesBack(t *testing.T) {
	dir := create(t)
	o := options(t, dir, true)
	w, err := chunks.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, "vm/erp/T1/a", []byte("old"))
	shut(t, w)
	o.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	if w, err = chunks.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := w.Delete(t.Context(), "vm/erp/T1/a"); err != nil {
		t.Fatal(err)
	}
	put(t, w, "vm/erp/T2/a", []byte("first"))
	put(t, w, "vm/erp/T2/a", []byte("second"))
	if _, err := w.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	shut(t, w)
	r := open(t, dir, false)
	if _, err := r.Stat(t.Context(), "vm/erp/T1/a"); !failure.Is(err, target.CodeNotFound) {
		t.Errorf("what was deleted: %v", err)
	}
	if got := get(t, r, "vm/erp/T2/a", 0, -1); string(got) != "second" {
		t.Errorf("got %q, want what was put last", got)
	}
}

func TestAPutEndsWithItsContextOrItsSource(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := w.Put(ctx, "a/disk.raw", 0, -1, readerFunc(func(p []byte) (int, error) {
		if n++; n == 20 {
			cancel()
		}
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	broke := errors.New("the source broke")
	breaks := readerFunc(func([]byte) (int, error) { return 0, broke })
	_, err = w.Put(t.Context(), "a/disk.raw", 0, -1, io.MultiReader(bytes.NewReader(random(1, 1<<20)), breaks))
	if err != broke {
		t.Errorf("source: got %v, want its error as it is", err)
	}
	if _, err := w.Stat(t.Context(), "a"); !failure.Is(err, target.CodeNotFound) {
		t.Errorf("something of it can be seen: %v", err)
	}
	_, err = w.Put(t.Context(), "a", 5, -1, bytes.NewReader(nil))
	wants(t, err, target.CodeBadTarget, "cannot append")
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../b", "a//b", "me@there/x"} {
		_, err := w.Put(t.Context(), name, 0, -1, bytes.NewReader(nil))
		wants(t, err, target.CodeDenied, "")
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
