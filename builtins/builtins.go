// Package builtins declares the primitives of policies. A primitive is one file,
// named after it, that holds its declaration (arguments, documentation, kind, way
// to resume, codes, plan, fake) and the function behind it. All lists them; there
// is no registration and no global state.
package builtins

import "github.com/neosofia/runner/runtime"

// All lists the declarations.
func All() []runtime.Declaration {
	return []runtime.Declaration{
		guestsDeclaration(),
		logDeclaration(),
		nowDeclaration(),
		snapshotVMDeclaration(),
	}
}
