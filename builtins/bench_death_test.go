package builtins

import (
	"context"
	"errors"
	"sync"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// dies executes a policy until an entry is recorded for which at is true: there
// the process ends as by SIGKILL. The id of the run is returned.
func (b *bench) dies(policy string, at func(ledger.Entry) bool) string {
	b.t.Helper()
	cfg := b.config(policy)
	ctx, cancel := context.WithCancel(b.t.Context())
	life := &mortal{Store: b.store.Store, at: at, dead: make(chan struct{}), buried: ctx.Done()}
	cfg.Ledger = ledger.New(life)
	ended := make(chan *runtime.Outcome, 1)
	go func() {
		out, _ := runtime.Exec(ctx, cfg)
		ended <- out
	}()
	b.t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-life.dead:
	case out := <-ended:
		ended <- out
		b.t.Fatalf("the run did not die: %+v", out)
	}
	return cfg.Header.ID
}

// resume goes on with a run that died.
func (b *bench) resume(policy, id string) *runtime.Outcome {
	b.t.Helper()
	out, err := runtime.ResumeRun(b.t.Context(), b.config(policy), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// retry starts a run that does what another one left undone.
func (b *bench) retry(policy, id string) *runtime.Outcome {
	b.t.Helper()
	out, err := runtime.RetryRun(b.t.Context(), b.config(policy), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// mortal is a store whose process dies at an entry: from then on nothing returns
// that would write, until the test ends.
type mortal struct {
	ledger.Store
	at     func(ledger.Entry) bool
	once   sync.Once
	dead   chan struct{}
	buried <-chan struct{}
}

func (m *mortal) Append(ctx context.Context, entries []ledger.Entry) (ledger.Head, error) {
	if m.at != nil {
		for _, e := range entries {
			if m.at(e) {
				m.once.Do(func() { close(m.dead) })
			}
		}
		select {
		case <-m.dead:
			<-m.buried
			return ledger.Head{}, errors.New("the process is dead")
		default:
		}
	}
	return m.Store.Append(ctx, entries)
}

// marking is true for the mark of a step with this key.
func marking(key string) func(ledger.Entry) bool {
	return func(e ledger.Entry) bool {
		var m ledger.Mark
		return e.Type == ledger.StepMark && e.Decode(&m) == nil && m.Key == key
	}
}

// ending is true for the end of a step that is not of kind Read.
func ending(e ledger.Entry) bool {
	var end ledger.End
	return e.Type == ledger.StepEnd && e.Decode(&end) == nil && end.Call == nil
}
