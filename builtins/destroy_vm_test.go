package builtins

import (
	"os"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
)

func TestDestroyVMRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, `allow(destroy = ["prune"])`, `allow(destroy = ["destroy_vm"])`)
	describe := func(id int, text string) {
		g, _ := b.guest(id)
		if err := os.WriteFile(b.confPath(g), []byte("#"+text+"\n"+b.conf(g)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const destroy = `destroy_vm(vmid = 900, token = "runner:x/0")`
	wantCode(t, b.run(destroy), "E_NOT_OURS", "somebody else's guest is never removed", "remove it by hand")
	describe(900, "runner:x/01")
	wantCode(t, b.run(destroy), "E_NOT_OURS")
	if err := b.lab.AddGuest(lab.Guest{ID: 901, Kind: "qemu", Node: "pve1", Config: map[string]string{"memory": "16"}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(`destroy_vm(vmid = 901, token = "runner:x/0")`), "E_NOT_OURS") // empty, and nobody restored it
	for _, id := range []int{900, 901} {
		if _, there := b.guest(id); !there {
			t.Fatalf("%d was removed", id)
		}
	}
	b.good(`destroy_vm(vmid = 4711, token = "runner:x/0")`)
	describe(900, "runner:x/0")
	b.good(destroy)
	if _, there := b.guest(900); there {
		t.Error("the guest that carries the token is still there")
	}
	b.edit(`"destroy_vm"`, "")
	wantCode(t, b.run(destroy), failure.Refused.Name, `allow(destroy = ["destroy_vm"])`)
}

func TestDestroyVMLeavesARunningGuest(t *testing.T) {
	t.Parallel()
	b := newBench(t, `allow(destroy = ["prune"])`, `allow(destroy = ["destroy_vm"])`)
	g, _ := b.guest(100)
	if err := os.WriteFile(b.confPath(g), []byte("#runner:x/0\n"+b.conf(g)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(`destroy_vm(vmid = 100, token = "runner:x/0")`), "E_PVE", "VM 100 is running")
}
