"""
Against another product
=======================

A product beside another gridded PM2.5, here the days of a coarse model that this script makes up, and both beside
stations.

**What to trust.** The difference says where the two disagree, not which one is right. Beside stations only rows with
``independent`` count: a product repeats the stations that it was made from. The share of the other's values within
our 90 % bounds would be 90 % if the other were the truth.
"""
import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# The "model": the twin's truth in cells of a degree, a fifth too low, as models with old emissions and coarse cells
# are. Any NetCDF file with PM2.5, latitude and longitude is read (:doc:`../comparing`): CAMS, CHAP, TAP, a WRF-Chem
# or CMAQ run on a regular grid.
truth = aqreanalysis.open_product(product, "truth").pm25
days = truth.coarsen(time=24, coord_func={"time": "max"}).mean()
coarse = 0.8 * days.coarsen(lat=4, lon=4).mean()
coarse.attrs = {"units": "ug m-3", "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_in_air"}
coarse.to_dataset(name="pm25").assign_attrs(simulated="true").to_netcdf("simulated_model.nc")

# %%
# The simulated network's observations, so that both stand beside stations too.
aqreanalysis.simulate("network", "2016-01-01", "2016-01-31")
found = aqreanalysis.compare(product, "simulated_model.nc", observations="network", stamp="end", step="day",
                             name="simulated model")
whole = found.pairs[found.pairs["by"] == "all"].iloc[0]
print(f"mean of the product {whole.mean_product:.1f}, of the model {whole.mean_other:.1f} µg m⁻³; "
      f"correlation {whole.r:.2f}; {whole.held_percent:.0f} % of the model's values within the product's 90 % bounds")
for note in found.notes:
    print("-", note)

# %%
# Beside stations. The product looks best at those that it was made from, which says nothing; what counts are the rows
# of stations that were hidden from it. The model has seen none.
columns = ["stations_are", "estimate", "independent", "stations", "bias", "MAE", "r"]
found.stations[columns].round(2)

# %%
# The difference of the month, on the cells of a degree that both have.
monthly = found.maps["difference"].sel(season="all", drop=True)
figure = aqreanalysis.draw_cells(monthly, aqreanalysis.open_product(product, "daily"), difference=True,
                                 title="The model less the product, January 2016", label="difference of PM2.5")
