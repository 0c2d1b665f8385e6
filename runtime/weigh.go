package runtime

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// weigh is the length of a text of a value, or somewhat more than budget when it is
// longer: parts that are shared are written, and so counted, each time.
func weigh(v starlark.Value, budget int) int {
	total := 0
	todo := []starlark.Value{v}
	for len(todo) > 0 && total <= budget {
		v, todo = todo[len(todo)-1], todo[:len(todo)-1]
		total += 2
		switch v := v.(type) {
		case starlark.String:
			total += len(v)
		case starlark.Bytes:
			total += 4 * len(v)
		case starlark.Int:
			total += v.BigInt().BitLen()/3 + 1
		case *starlark.Dict:
			total += 2 * v.Len()
			for _, item := range v.Items() {
				todo = append(todo, item[0], item[1])
			}
		case *Object:
			for _, part := range v.attrs {
				todo = append(todo, part)
			}
		case starlark.Iterable:
			total += 2 * max(0, starlark.Len(v))
			if total > budget {
				break
			}
			iter := v.Iterate()
			var part starlark.Value
			for iter.Next(&part) {
				todo = append(todo, part)
			}
			iter.Done()
		default:
			total += 30
		}
	}
	return total
}

func (l Limits) tooLong() error {
	return limitError("the length of a string", l.bytes(), "--max-range")
}

// text guards a universal function that makes texts of its arguments.
func (l Limits) text(name string) starlarkFunc {
	return func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if weigh(args, l.bytes()) > l.bytes() {
			return nil, l.tooLong()
		}
		return starlark.Call(t, starlark.Universe[name], args, kwargs)
	}
}

// format is x % y.
func (l Limits) format(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if s, ok := args[0].(starlark.String); ok {
		long := weigh(args[1], l.bytes())
		if _, byName := args[1].(*starlark.Dict); byName { // one value may stand there many times
			long = saturated(long, strings.Count(string(s), "%"))
		}
		if len(s)+long > l.bytes() {
			return nil, l.tooLong()
		}
	}
	return starlark.Binary(syntax.PERCENT, args[0], args[1])
}

func saturated(n, times int) int {
	if times > 0 && n > (1<<40)/times {
		return 1 << 40
	}
	return n * times
}

// results bound from above how long the result of a method is, in bytes of a string
// or elements of a list.
var results = map[string]func(recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple, budget int) int{
	"replace": func(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple, _ int) int {
		s, _ := starlark.AsString(recv)
		if len(args) < 2 {
			return 0
		}
		old, _ := starlark.AsString(args[0])
		with, _ := starlark.AsString(args[1])
		return len(s) + saturated(strings.Count(s, old), len(with))
	},
	"join": func(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple, budget int) int {
		s, _ := starlark.AsString(recv)
		total := 0
		if it, ok := first(args).(starlark.Iterable); ok {
			iter := it.Iterate()
			defer iter.Done()
			var v starlark.Value
			for iter.Next(&v) && total <= budget {
				part, _ := starlark.AsString(v)
				total += len(part) + len(s)
			}
		}
		return total
	},
	"format": func(recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple, budget int) int {
		s, _ := starlark.AsString(recv)
		all := args
		for _, kw := range kwargs {
			all = append(all[:len(all):len(all)], kw[1])
		}
		return len(s) + saturated(weigh(all, budget), strings.Count(s, "{"))
	},
	"extend": func(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple, _ int) int {
		return max(0, starlark.Len(recv)) + max(0, starlark.Len(first(args)))
	},
}

// method returns a method, wrapped so that it looks at the length of its result
// first, where the receiver is a string or a list; else, the plain attribute.
func (l Limits) method(name string) starlarkFunc {
	return func(_ *starlark.Thread, _ *starlark.Builtin, recv starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		has, ok := recv[0].(starlark.HasAttrs)
		if !ok {
			return nil, fmt.Errorf("%s has no .%s field or method", recv[0].Type(), name)
		}
		fn, err := has.Attr(name)
		if err != nil || fn == nil {
			return nil, fmt.Errorf("%s has no .%s field or method", recv[0].Type(), name)
		}
		limit, err := l.bytes(), l.tooLong()
		switch recv[0].(type) {
		case starlark.String:
		case *starlark.List:
			limit, err = l.Range, limitError("the length of a list", l.Range, "--max-range")
		default:
			return fn, nil
		}
		return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple,
			kwargs []starlark.Tuple) (starlark.Value, error) {
			if results[name](recv[0], args, kwargs, limit) > limit {
				return nil, err
			}
			return starlark.Call(t, fn, args, kwargs)
		}), nil
	}
}

func first(args starlark.Tuple) starlark.Value {
	if len(args) == 0 {
		return starlark.None
	}
	return args[0]
}
