package builtins

import (
	"context"

	"github.com/neosofia/runner/runtime"
)

type logArgs struct {
	Text string `star:"text" doc:"what the operator and the auditor shall read; never a secret"`
}

func logDeclaration() runtime.Declaration {
	write := func(_ context.Context, s *runtime.Step, a *logArgs) (runtime.Result, error) {
		s.Log("%s", a.Text)
		return runtime.Result{}, nil
	}
	return runtime.Primitive[logArgs]{
		Name: "log", Kind: runtime.Read, Resume: runtime.Retry,
		Doc: "log: write a line into the record of the run.\n\nThe line is an argument of a step, so it is in the ledger and in show; " +
			"print() is shown and not recorded.",
		Example: `log(text = "the monthly tape leaves with the courier")`,
		Fake:    write, Run: write,
	}
}
