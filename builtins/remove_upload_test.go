package builtins

import (
	"os"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

func TestRemoveUploadRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, `allow(destroy = ["prune"])`, `allow(destroy = ["remove_upload"])`)
	b.good(snapshot)
	a := b.artifacts()[0]
	brought := func(path, token string) *runtime.Outcome {
		return b.run(`remove_upload(system = "pve", node = "pve1", path = "` + path + `", token = "` + token + `")`)
	}
	for _, c := range []struct{ name, path, words string }{
		{"an archive with another token", a.Origin.Path, "do not carry runner:x/0"},
		{"a file that is not an archive", "/etc/shadow", "not an archive in a storage's dump folder"},
		{"a path that goes up", "/srv/backup/dump/../../../etc/dump/vzdump-qemu-1-2.vma", "not an archive in a storage's dump folder"},
		{"a file beside the archives", "/srv/backup/dump/vzdump-qemu-900-2026.log", "not an archive in a storage's dump folder"},
	} {
		if out := brought(c.path, "runner:x/0"); failure.CodeOf(out.Err).Name != "E_NOT_OURS" ||
			missing(out.Err.Error(), []string{c.words, "remove it by hand"}) != "" {
			t.Errorf("%s: got %v", c.name, out.Err)
		}
	}
	if err := os.Rename(b.dump(a)+".notes", b.dump(a)+".gone"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, brought(a.Origin.Path, "runner:x/0"), "E_NOT_OURS", "no notes")
	if out := brought("/srv/backup/dump/vzdump-qemu-900-2020_01_01-00_00_00.vma.zst", "runner:x/0"); out.Err != nil {
		t.Errorf("an archive that is not there: %v", out.Err)
	}
	if len(b.dumps()) != 1 {
		t.Fatal("an archive that is not ours was removed")
	}
	if err := os.Rename(b.dump(a)+".gone", b.dump(a)+".notes"); err != nil {
		t.Fatal(err)
	}
	b.inject(lab.Fault{On: "ssh pve1.lab", Do: "new-hostkey"})
	wantCode(t, brought(a.Origin.Path, a.Token()), "E_HOST_KEY", "host key")
	b.inject()
	if out := brought(a.Origin.Path, a.Token()); out.Err != nil || len(b.dumps()) != 0 {
		t.Errorf("an archive with the token: got %v, %d archives", out.Err, len(b.dumps()))
	}
}
