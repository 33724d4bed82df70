// A fixed piece of work whose CPU time tells how fast the machine is at the moment: neighbours and clocks change it.
#pragma once

namespace msnoah {

// CPU milliseconds of this thread: the median of some equal parts, times their number. The work is what networks mostly
// are, products of matrices that come from beyond the second cache. Compare it with this program's own figures only:
// Python's worker does such products in other code.
double time_reference();

} // namespace msnoah
