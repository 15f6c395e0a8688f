"""The ground of the twin: cities, basins and mountains, and where they emit.

Positions are those of the places, rounded; strengths are rough sizes (millions of people in the urban
area, from general knowledge). They make the simulated map look like the region and claim no more.
Weather lives on a plane with true lengths at 36 N, in km.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aqreanalysis import geo

# One line for each province: name latitude longitude size; names are unique.
CITIES_BY_PROVINCE = {
    "Beijing": "Beijing 39.91 116.40 19", "Tianjin": "Tianjin 39.12 117.19 11",
    "Shanghai": "Shanghai 31.23 121.43 20",
    "Hebei": "Shijiazhuang 38.04 114.50 5, Tangshan 39.63 118.17 3.5, Qinhuangdao 39.97 119.55 1.3,"
             "Handan 36.61 114.50 3, Xingtai 37.07 114.50 1.8, Baoding 38.87 115.47 2.9,"
             "Zhangjiakou 40.80 114.88 1.1, Chengde 40.96 117.95 0.7, Cangzhou 38.31 116.85 1,"
             "Langfang 39.52 116.69 1, Hengshui 37.74 115.67 0.8",
    "Shanxi": "Taiyuan 37.87 112.55 4, Datong 40.08 113.30 1.6, Yangquan 37.86 113.58 0.8,"
              "Changzhi 36.19 113.11 1.2, Jincheng 35.50 112.85 0.7, Shuozhou 39.33 112.43 0.5,"
              "Jinzhong 37.69 112.75 0.9, Yuncheng 35.03 111.00 0.9, Xinzhou 38.42 112.73 0.5,"
              "Linfen 36.09 111.52 1, Lvliang 37.52 111.14 0.4",
    "Inner Mongolia": "Hohhot 40.84 111.75 2, Baotou 40.65 109.84 2, Wuhai 39.66 106.80 0.6,"
                      "Chifeng 42.26 118.89 1.1, Ordos 39.61 109.78 0.7, Bayannur 40.75 107.39 0.5,"
                      "Ulanqab 41.00 113.13 0.4",
    "Liaoning": "Shenyang 41.80 123.43 6.5, Dalian 38.97 121.59 4.2, Anshan 41.11 122.99 1.6,"
                "Fushun 41.88 123.92 1.3, Benxi 41.29 123.77 0.9, Dandong 40.15 124.36 0.8,"
                "Jinzhou 41.12 121.13 1, Yingkou 40.64 122.30 0.9, Fuxin 42.02 121.67 0.7,"
                "Liaoyang 41.27 123.18 0.8, Panjin 41.12 122.07 0.9, Tieling 42.29 123.84 0.4,"
                "Chaoyang 41.57 120.45 0.6, Huludao 40.76 120.82 0.7",
    "Jiangsu": "Nanjing 32.06 118.79 6.5, Wuxi 31.57 120.30 3.3, Xuzhou 34.27 117.19 2.5,"
               "Changzhou 31.81 119.97 2.8, Suzhou 31.30 120.60 4.5, Nantong 32.02 120.87 2,"
               "Lianyungang 34.58 119.14 1.1, Huaian 33.60 119.02 1.6, Yancheng 33.35 120.15 1.4,"
               "Yangzhou 32.40 119.42 1.4, Suqian 33.96 118.28 1",
    "Zhejiang": "Hangzhou 30.27 120.15 6.5, Ningbo 29.85 121.55 3, Jiaxing 30.75 120.75 0.9,"
                "Shaoxing 30.00 120.58 1.6",
    "Anhui": "Hefei 31.82 117.23 4, Wuhu 31.33 118.43 1.5, Bengbu 32.92 117.39 1, Huainan 32.63 117.00 1.2,"
             "Huaibei 33.96 116.80 0.9, Anqing 30.53 117.06 0.7, Fuyang 32.89 115.81 1.2,"
             "Luan 31.74 116.52 0.7, Bozhou 33.84 115.78 0.7",
    "Shandong": "Jinan 36.65 117.00 5, Qingdao 36.15 120.42 5, Zibo 36.81 118.05 3,"
                "Zaozhuang 34.81 117.32 1.3,"
                "Dongying 37.45 118.58 0.9, Yantai 37.46 121.35 1.9, Weifang 36.71 119.16 1.9,"
                "Jining 35.41 116.59 1.6, Taian 36.19 117.09 1.1, Weihai 37.42 122.08 0.8,"
                "Rizhao 35.43 119.45 0.9, Linyi 35.07 118.34 2.4, Dezhou 37.44 116.32 0.9,"
                "Liaocheng 36.45 115.98 1.2, Binzhou 37.38 117.98 0.9, Heze 35.24 115.48 1.1",
    "Henan": "Zhengzhou 34.75 113.63 6.5, Kaifeng 34.80 114.31 1, Luoyang 34.63 112.45 2.3,"
             "Pingdingshan 33.75 113.28 1, Anyang 36.10 114.37 1.2, Hebi 35.75 114.30 0.6,"
             "Xinxiang 35.30 113.88 1.2, Jiaozuo 35.22 113.23 1, Puyang 35.76 115.03 0.8,"
             "Xuchang 34.03 113.84 0.8, Luohe 33.58 114.03 0.8, Sanmenxia 34.78 111.19 0.5,"
             "Nanyang 33.00 112.53 1.5, Shangqiu 34.42 115.65 1.1, Xinyang 32.13 114.08 0.9,"
             "Zhoukou 33.62 114.65 0.8, Zhumadian 33.00 114.02 0.8",
    "Hubei": "Wuhan 30.58 114.29 8.5, Xiangyang 32.02 112.14 1.6, Yichang 30.70 111.28 1.3,"
             "Jingmen 31.03 112.20 0.6, Jingzhou 30.33 112.24 0.9, Suizhou 31.69 113.38 0.5,"
             "Shiyan 32.65 110.79 0.9, Huangshi 30.20 115.04 0.9",
    "Shaanxi": "Xian 34.27 108.95 7.5, Xianyang 34.34 108.71 1.2, Baoji 34.36 107.14 1,"
               "Tongchuan 34.90 108.95 0.5,"
               "Weinan 34.50 109.50 0.8, Yanan 36.59 109.49 0.5, Hanzhong 33.07 107.03 0.7,"
               "Yulin 38.29 109.74 0.8, Ankang 32.69 109.02 0.5",
    "Ningxia": "Yinchuan 38.48 106.23 1.6, Guyuan 36.01 106.24 0.3",
    "Gansu": "Pingliang 35.54 106.68 0.3, Qingyang 35.73 107.64 0.3",
    "Chongqing": "Chongqing 29.56 106.55 10", "Sichuan": "Dazhou 31.21 107.50 0.9, Bazhong 31.86 106.75 0.5",
    "Jiangxi": "Jiujiang 29.67 115.97 0.9", "Hunan": "Yueyang 29.36 113.13 1",
}
# Broad sources (farming, households, roads between cities): lon, lat, sigma east and north in km, strength.
BASINS = ((115.0, 37.8, 120, 180, 1.15), (114.4, 34.2, 180, 110, 0.50), (109.0, 34.5, 110, 35, 2.20),
          (111.5, 36.6, 50, 140, 0.90), (117.0, 33.3, 200, 120, 0.25), (113.3, 30.8, 150, 110, 0.60),
          (119.8, 31.9, 160, 90, 0.10), (105.5, 30.2, 130, 110, 0.60), (123.2, 41.7, 80, 120, 0.55),
          (118.2, 37.0, 120, 80, 0.45), (107.0, 39.0, 60, 120, 0.20))
# Ridges, lower in PM2.5 than the land round them: lon, lat of both ends, half-width in km, share lost.
RIDGES = ((112.6, 35.5, 113.7, 37.6, 28, 0.40), (113.7, 37.6, 115.2, 39.9, 30, 0.42),
          (115.2, 40.3, 119.3, 40.7, 38, 0.36), (111.2, 36.6, 111.8, 39.2, 30, 0.33),
          (106.8, 33.85, 111.2, 33.8, 34, 0.42), (111.2, 33.8, 112.8, 33.6, 25, 0.26),
          (117.0, 36.25, 118.4, 36.0, 24, 0.22), (123.8, 40.7, 125.5, 42.2, 40, 0.30),
          (109.2, 31.6, 110.9, 31.5, 45, 0.33), (115.3, 31.2, 116.4, 31.1, 28, 0.26))
CITY_EMISSION_KM = 30.0  # sigma of a city's emissions as transport sees them
URBAN_KM = 12.0          # sigma of what is higher in the city itself
MAP_KM, MAP_WEST, MAP_SOUTH, MAP_SHAPE = 25.0, -2400.0, -1900.0, (157, 197)  # emission map on the plane


def city_table() -> pd.DataFrame:
    """The cities: name, province, lat, lon (degrees) and size."""
    rows = [(name, province, float(lat), float(lon), float(size)) for province, line in CITIES_BY_PROVINCE.items()
            for name, lat, lon, size in (city.split() for city in line.split(","))]
    return pd.DataFrame(rows, columns=["name", "province", "lat", "lon", "size"])


def plane(lat, lon) -> tuple[np.ndarray, np.ndarray]:
    """East and north in km from 115.5 E, 36 N; lengths are true at 36 N."""
    km = np.radians(1.0) * geo.EARTH_RADIUS_KM
    return (km * np.cos(np.radians(36.0)) * (np.asarray(lon, float) - 115.5),
            km * (np.asarray(lat, float) - 36.0))


def emissions(cities: pd.DataFrame) -> np.ndarray:
    """Sources on the plane, no unit, on a map of MAP_SHAPE (north, east) with cells of MAP_KM."""
    x = MAP_WEST + MAP_KM * np.arange(MAP_SHAPE[1])
    y = MAP_SOUTH + MAP_KM * np.arange(MAP_SHAPE[0])
    sources = [(lon, lat, CITY_EMISSION_KM, CITY_EMISSION_KM, size**0.6)
               for lon, lat, size in cities[["lon", "lat", "size"]].to_numpy(float)]
    total = np.zeros(MAP_SHAPE)
    for lon, lat, wide, high, strength in (*BASINS, *sources):
        east, north = plane(lat, lon)
        total += strength * np.outer(np.exp(-0.5 * ((y - north) / high) ** 2),
                                     np.exp(-0.5 * ((x - east) / wide) ** 2))
    return total


def urban(lat, lon, cities: pd.DataFrame) -> np.ndarray:
    """How much of a city a place is, (points,): 0 in the country, at most 2."""
    distance = geo.pairwise_distance_km(lat, lon, cities["lat"], cities["lon"])
    share = np.exp(-0.5 * (distance / URBAN_KM) ** 2) @ cities["size"].to_numpy(float) ** 0.4
    return 2 * np.tanh(share / 2)


def mountain_air(lat, lon) -> np.ndarray:
    """The share of the concentration that a place keeps for its height, (points,): 1 on the plain."""
    x, y = plane(lat, lon)
    keeps = np.ones(len(x))
    for lon1, lat1, lon2, lat2, width, share in RIDGES:
        (x1, y1), (x2, y2) = plane(lat1, lon1), plane(lat2, lon2)
        along = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2)
        along = np.clip(along, 0, 1)
        away2 = (x - x1 - along * (x2 - x1)) ** 2 + (y - y1 - along * (y2 - y1)) ** 2
        keeps *= 1 - share * np.exp(-0.5 * away2 / width**2)
    return keeps
