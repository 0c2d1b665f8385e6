package builtins

import (
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

func TestNowIsTheTimeOfTheFirstRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(`t = now()`, `snapshot_vm(guest = "scratch")`, `return t.unix`)
	began := b.clock.Now().Unix()
	id := b.dies(policy, ending)
	b.clock.advance(day)
	out := b.resume(policy, id)
	var got int64
	if n, ok := out.Value.(starlark.Int); ok {
		got, _ = n.Int64()
	}
	if out.Result != ledger.OK || got < began || got > began+int64(time.Minute.Seconds()) {
		t.Errorf("got %d, %v, %v; want about %d", got, out.Result, out.Err, began)
	}
}
