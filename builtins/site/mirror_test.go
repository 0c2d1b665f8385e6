package site

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime"
)

const mirrorSite = `R = "age1p54krsyq4rwmtx2535usfced7asjustsw9wkvxlud8ha9kmj2drqdgsl7h"
target(name = "disk", url = "file:///srv", medium = "disk", location = "l", layout = "chunks", password = secret("chunks"))
target(name = "away", url = "webdav:///away", medium = "cloud", location = "m", login = secret("l"), layout = "chunks",
    mirror_of = "disk", sealed_to = [R])
asset(name = "vm", on = {"disk": "opened", "away": "read"})
`

func TestAMirrorOfARepository(t *testing.T) {
	s, err := Load("site.star", []byte(mirrorSite), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if away, err := s.Target("away"); err != nil || away.MirrorOf != "disk" || away.Layout != target.LayoutChunks || away.PartSize != 0 {
		t.Errorf("got %+v, %v", away, err)
	}
	for _, c := range []struct{ name, old, new, said string }{
		{"of itself", `mirror_of = "disk"`, `mirror_of = "away"`, "it cannot mirror itself"},
		{"of nothing", `mirror_of = "disk"`, `mirror_of = "disc"`, `no target "disc"`},
		{"of a folder of files", `location = "l", layout = "chunks", password = secret("chunks")`, `location = "l"`, "which has no repository"},
		{"of a mirror", `asset(`, strings.ReplaceAll(strings.Join(strings.Split(mirrorSite, "\n")[2:4], "\n"), `"away"`, `"third"`) + "\nasset(",
			"which is a mirror itself"},
		{"without its layout", "layout = \"chunks\",\n    mirror_of", `mirror_of`, "mirror_of is for layout"},
		{"in clear, at somebody else's", `, sealed_to = [R])`, `)`, "sealed_to is missing"},
		{"in clear, on a disk", "webdav:///away\", medium = \"cloud\", location = \"m\", login = secret(\"l\"), " +
			"layout = \"chunks\",\n    mirror_of = \"disk\", " + `sealed_to = [R])`, `file:///away", medium = "usb", location = "m", layout = "chunks", mirror_of = "disk")`, "sealed_to is missing"},
		{"with a password of its own", `mirror_of = "disk"`, `mirror_of = "disk", password = secret("p")`, "a mirror has that of disk"},
		{"cut into parts", `mirror_of = "disk"`, `mirror_of = "disk", part_size = 67108864`, "they are not cut"},
		{"immutable", `mirror_of = "disk"`, `mirror_of = "disk", immutable = True`, "a mirror replaces its notes"},
		{"demanded without its source", `on = {"disk": "opened", "away"`, `on = {"away"`, "which mirrors disk, and none there"},
	} {
		text := strings.Replace(mirrorSite, c.old, c.new, 1)
		if c.name == "of a mirror" {
			text = strings.Replace(text, `"third", url = "webdav:///away"`, `"third", url = "webdav:///third"`, 1)
			text = strings.Replace(text, `mirror_of = "disk", sealed_to = [R])`+"\nasset(", `mirror_of = "away", sealed_to = [R])`+"\nasset(", 1)
		}
		if _, err := Load("site.star", []byte(text), runtime.Limits{}); err == nil || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.said)
		}
	}
}
