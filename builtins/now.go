package builtins

import (
	"context"

	"github.com/neosofia/runner/runtime"
)

type nowArgs struct{}

func nowDeclaration() runtime.Declaration {
	report := func(_ context.Context, s *runtime.Step, _ *nowArgs) (runtime.Result, error) {
		return runtime.Result{Value: runtime.NewTime(s.Now())}, nil
	}
	return runtime.Primitive[nowArgs]{
		Name: "now", Kind: runtime.Read, Resume: runtime.Retry, Returns: "time",
		Doc: "now: the time in UTC, as a recorded step.\n\n" +
			"A resumed run sees the time of its first run. The value has year, month, day, hour, minute, second, weekday (1 is Monday), " +
			"iso_year, iso_week, yearday and unix; time - time is seconds.",
		Example: `now()`,
		Fake:    report, Run: report,
	}
}
