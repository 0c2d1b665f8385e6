package builtins

import (
	"strings"
	"testing"
)

func TestHistoryListsArtifactsOfWhichACopyExists(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := b.good(`return history(asset = "virtual_machines")`).Value.String(); got != "[]" {
		t.Errorf("before the first night: got %s", got)
	}
	for range 2 {
		b.good(`each([lambda g = g: copy(artifact = snapshot_vm(guest = g), to = ["node", "offline-a"]) for g in ["scratch", "wiki"]])`)
		b.clock.advance(day)
	}
	b.good(snapshot) // never copied
	for _, c := range []struct{ name, call, want string }{
		{"of all items", `asset = "virtual_machines"`, "4 True"},
		{"of one item", `asset = "virtual_machines", item = "wiki"`, "2 True"},
		{"of an item without any", `asset = "virtual_machines", item = "erp"`, "0 True"},
	} {
		out := b.good(`h = history(`+c.call+`)`, `return "%d %s" % (len(h), h == sorted(h, key = lambda a: a.created))`)
		if got := strings.Trim(out.Value.String(), `"`); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	out := b.run(`return history(asset = "vms")`)
	if out.Err != nil && !strings.Contains(out.Err.Error(), "vms") {
		t.Errorf("an unknown asset: got %v", out.Err)
	}
}
