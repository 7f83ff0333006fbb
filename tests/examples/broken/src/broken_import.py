"""A module that can't be imported."""

import a_module_that_is_not_there

ByImport = a_module_that_is_not_there.ByImport
